"""EnCodec, DAC, Mimi and SNAC, small and with random weights, beside the packages' own results."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.errors import MissingPackageError, ReferenceCodecError
from l3ac_jax.evaluation.published_networks import FAMILIES, PublishedCodec
from l3ac_jax.evaluation.references import nearest_references
from tests.conftest import FIXTURES

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
snac = pytest.importorskip("snac", reason="snac is not installed")

RATE = 16000


@pytest.fixture(scope="module")
def clip():
    """1.5 s of speech: no whole number of hops."""
    return read_audio(FIXTURES / "librivox_sense_0870.wav").samples[0, 8000:32123]


def encodec(folder):
    config = transformers.EncodecConfig(
        sampling_rate=RATE,
        target_bandwidths=[1.0, 2.0, 4.0],
        hidden_size=8,
        num_filters=2,
        upsampling_ratios=[5, 4, 4, 2],
        num_lstm_layers=1,
        codebook_size=1024,
    )
    model = transformers.EncodecModel(config)
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_()
    model.save_pretrained(folder)
    return model


def dac(folder):
    config = transformers.DacConfig(
        encoder_hidden_size=4, decoder_hidden_size=32, downsampling_ratios=[4, 4, 10],
        n_codebooks=4, codebook_size=1024, sampling_rate=RATE,
    )  # fmt: skip
    model = transformers.DacModel(config)
    model.save_pretrained(folder)
    return model


def mimi(folder):
    config = transformers.MimiConfig(
        sampling_rate=RATE, hidden_size=32, num_filters=2, upsampling_ratios=[8, 5, 4, 4],
        codebook_size=1024, codebook_dim=16, vector_quantization_hidden_dimension=16,
        num_quantizers=4, upsample_groups=32, num_hidden_layers=1, intermediate_size=32,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    model = transformers.MimiModel(config)
    for name, buffer in model.named_buffers():
        if name.endswith("embed_sum"):
            buffer.normal_()
    model.save_pretrained(folder)
    return model


def snac_model(folder):
    config = {
        "sampling_rate": RATE, "encoder_dim": 4, "encoder_rates": [4, 4, 4], "decoder_dim": 32,
        "decoder_rates": [4, 4, 4], "attn_window_size": None, "codebook_size": 1024,
        "vq_strides": [4, 2, 1], "noise": False,
    }  # fmt: skip
    model = snac.SNAC(**config).eval()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return model


MAKERS = {"encodec": encodec, "dac": dac, "mimi": mimi, "snac": snac_model}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("published")
    return {kind: (folder / kind, make(folder / kind).eval()) for kind, make in MAKERS.items()}


def theirs(kind, model, clip, choice):
    """Codes and audio by the package's own call of the whole model."""
    batch = torch.from_numpy(clip)[None, None]
    with torch.inference_mode():
        if kind == "encodec":
            out = model(batch, bandwidth=[1.0, 2.0, 4.0][choice])
            return out.audio_codes, out.audio_values
        if kind == "dac":
            padded = torch.nn.functional.pad(batch, (0, -batch.shape[-1] % 160))
            out = model(padded, n_quantizers=choice + 1)
            return out.audio_codes, out.audio_values
        if kind == "mimi":
            out = model(batch, num_quantizers=choice + 1)
            return out.audio_codes, out.audio_values
        audio, codes = model(batch)
        return torch.cat([code.reshape(-1) for code in codes]), audio


# bit/s of all choices: codebooks of 10 bits at 100 (EnCodec, DAC), 12.5 frames/s (Mimi), and at 250
# frames/s and a half and a quarter of it (SNAC).
BITRATES = {
    "encodec": [1000, 2000, 4000],
    "dac": [1000, 2000, 3000, 4000],
    "mimi": [125, 250, 375, 500],
    "snac": [4375],
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_audio_and_bits_are_those_of_the_package(kind, made, clip):
    folder, model = made[kind]
    codecs = nearest_references([f"{kind}@{folder}"], BITRATES[kind])
    assert [codec.info.bitrate for codec in codecs] == BITRATES[kind]
    for choice, codec in enumerate(codecs):
        assert codec.info.kind == kind
        assert codec.info.sample_rate == RATE
        assert codec.info.parameters == sum(p.numel() for p in model.parameters())
        codes, audio = theirs(kind, model, clip, choice)
        coded = codec.code(clip)
        assert coded.decoded.shape == clip.shape
        want = np.clip(audio.reshape(-1).numpy(), -1, 1)
        shared = min(len(want), len(clip))
        # The same calls of the same library.
        np.testing.assert_allclose(coded.decoded[:shared], want[:shared], atol=1e-6)
        assert np.ptp(coded.decoded) > 0
        assert coded.bits == codes.numel() * 10
        # Codebook by codebook, the coarsest first.
        first = codec.first_codes(clip)
        np.testing.assert_array_equal(first, codes.reshape(-1)[: len(first)])
        assert len(first) == -(-len(clip) // codec.hop_length)
        seconds = len(clip) / RATE
        # A whole number of the coarsest frames.
        assert 0 <= coded.bits - codec.info.bitrate * seconds <= codec.info.bitrate * 0.16
        assert coded.encode_seconds > 0 and coded.decode_seconds > 0


def test_a_rate_is_chosen_by_name(made):
    folder, _ = made["dac"]
    (codec,) = nearest_references([f"dac:3@{folder}"], [1000])
    assert codec.info.name == "DAC 16 kHz 3k"
    with pytest.raises(ReferenceCodecError, match=r"dac:7@.* has 1, 2, 3, 4 kbit/s"):
        nearest_references([f"dac:7@{folder}"], [1000])


@pytest.mark.parametrize("kind", FAMILIES)
def test_weights_that_are_not_there_are_one_clear_line(kind, tmp_path):
    with pytest.raises(ReferenceCodecError, match=f"{kind}:3@.*: the weights .* cannot be loaded"):
        nearest_references([f"{kind}:3@{tmp_path / 'nothing'}"], [3000])


@pytest.mark.parametrize("kind", ["encodec", "dac", "mimi"])
def test_weights_that_are_not_whole_are_not_filled_with_random_numbers(kind, made, tmp_path):
    folder, _ = made[kind]
    arrays = load_file(folder / "model.safetensors")
    del arrays[sorted(arrays)[0]]
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    save_file(arrays, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ReferenceCodecError, match=r"cannot be loaded: 1 arrays are missing"):
        nearest_references([f"{kind}@{tmp_path}"], [1000])


def test_weights_of_another_codec_are_refused(made):
    folder, _ = made["dac"]
    with pytest.raises(ReferenceCodecError, match=r"encodec@.*: the weights .* cannot be loaded"):
        nearest_references([f"encodec@{folder}"], [1000])


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "snac", None)
    with pytest.raises(MissingPackageError, match=r"SNAC needs .* 'l3ac-jax\[references\]'"):
        nearest_references(["snac"], [3000])


class Delaying:
    """Gives back what went in, late, with noise."""

    sample_rate, hop_length = RATE, 160
    bits_per_code = 10.0
    parameters = 0

    def __init__(self, lag, gain=1.0):
        self.lag = lag
        self.gain = gain
        self.bitrates = [1000.0]

    def encode(self, audio, bitrate):
        return [audio]

    def decode(self, codes):
        late = torch.nn.functional.pad(codes[0], (self.lag, 0))
        noise = torch.randn(late.shape, generator=torch.Generator().manual_seed(0))
        return self.gain * late + 0.02 * noise


def test_what_is_late_is_moved_and_the_delay_is_said(clip):
    codec = PublishedCodec("mimi", Delaying(480), 1000.0, "a test's", clip)
    assert codec.info.delay_ms == 30
    assert "delay 480" in codec.identity
    np.testing.assert_allclose(codec.code(clip).decoded, clip, atol=0.1)
    noise = PublishedCodec("mimi", Delaying(480, gain=0.0), 1000.0, "a test's", clip)
    assert noise.info.delay_ms == 0


def test_stability_of_the_first_codebook(made, clip, tmp_path, monkeypatch):
    """By the script: against kept tokens all are the same, and entries have no distance."""
    from tests.experiments.test_play_along import EXPERIMENTS

    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    from stability import main

    write_audio(tmp_path / "clip.wav", clip[None], RATE, "PCM_16")
    folder, _ = made["dac"]  # of EnCodec with random weights, all first codes are the same
    words = [str(tmp_path / "clip.wav"), "--references", f"dac:2@{folder}"]
    words += ["--generations", "2", "--out"]
    kept = str(tmp_path / "kept.npz")
    assert main([*words, str(tmp_path / "a.json"), "--keep-tokens", kept]) == 0
    assert main([*words, str(tmp_path / "b.json"), "--beside", kept]) == 0
    report = json.loads((tmp_path / "b.json").read_text(), parse_constant=pytest.fail)
    (name,) = report["models"]
    assert name == "DAC 16 kHz 2k"
    rows = report["models"][name]["changes"]
    assert (rows[0]["name"], rows[0]["equal"]) == ("beside kept.npz", 1)
    assert rows[0]["tokens"] == -(-len(clip) // 160)
    assert all(row["distance"] is None for row in rows)
    assert min(row["equal"] for row in rows) < 1
    assert report["models"][name]["generations"][0]["equal"] == 1
