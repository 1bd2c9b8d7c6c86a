"""The codec under the names of those in transformers: its own results, in their shapes."""

from importlib.util import find_spec

import numpy as np
import pytest

from l3ac_jax.errors import ArgumentError
from l3ac_jax.integrations import transformers_like
from l3ac_jax.integrations.transformers_like import L3ACModel


@pytest.fixture(scope="module")
def model(model_folder):
    return L3ACModel.from_pretrained(model_folder)


@pytest.fixture(scope="module")
def audio():
    return np.random.default_rng(0).uniform(-0.5, 0.5, (2, 1, 40)).astype(np.float32)


def test_codes_and_audio_are_the_codecs_own(model, audio):
    encoded = model.encode(audio)
    expected = np.asarray(model.codec.encode(audio[:, 0]))
    assert encoded.audio_codes.shape == (2, 1, 7)  # 40 samples, 6 to a token
    assert len(np.unique(encoded.audio_codes)) > 5
    np.testing.assert_array_equal(encoded.audio_codes[:, 0], expected)
    decoded = model.decode(encoded.audio_codes)
    assert decoded.audio_values.shape == (2, 1, 42)
    np.testing.assert_array_equal(decoded.audio_values[:, 0], model.codec.decode(expected))
    both = model(audio)
    np.testing.assert_array_equal(both.audio_codes, encoded.audio_codes)
    np.testing.assert_array_equal(both.audio_values, decoded.audio_values[..., :40])


def test_padding_changes_nothing(model, audio):
    mask = np.ones((2, 40), np.int64)
    mask[1, 20:] = 0
    loud = np.where(mask[:, None], audio, np.float32(0.9))
    codes = model.encode(loud, mask).audio_codes
    alone = model.encode(audio[1:, :, :20])
    np.testing.assert_array_equal(codes[1:, :, :4], alone.audio_codes)
    assert not codes[1, 0, 4:].any()
    values = model.decode(codes, mask).audio_values
    assert values.shape == (2, 1, 40)
    expected = model.decode(alone.audio_codes).audio_values[0, 0, :20]
    np.testing.assert_allclose(values[1, 0, :20], expected, atol=1e-6)  # another batch
    assert not values[1, 0, 20:].any()


def test_tensors_come_back_as_tensors(model, audio):
    torch = pytest.importorskip("torch")
    given = torch.from_numpy(audio).requires_grad_()
    encoded = model.encode(given, torch.ones(2, 1, 40, dtype=torch.bool))
    assert isinstance(encoded.audio_codes, torch.Tensor)
    assert encoded.audio_codes.dtype == torch.int64
    np.testing.assert_array_equal(encoded.audio_codes.numpy(), model.encode(audio).audio_codes)
    values = model.decode(encoded.audio_codes).audio_values
    assert isinstance(values, torch.Tensor) and values.dtype == torch.float32
    half = given.detach().bfloat16()
    assert torch.equal(model.encode(half).audio_codes, model.encode(half.float()).audio_codes)


def test_outputs_are_read_in_each_way_that_transformers_has(model, audio):
    encoded = model.encode(audio)
    assert [*encoded.keys()] == ["audio_codes"]
    for codes in (encoded[0], encoded["audio_codes"], *model.encode(audio, return_dict=False)):
        np.testing.assert_array_equal(codes, encoded.audio_codes)
    with pytest.raises(KeyError):
        encoded["audio_scales"]


def test_names_are_those_of_transformers(model):
    if not find_spec("transformers"):
        names = {"Encoder": {"audio_codes"}, "Decoder": {"audio_values"},
                 "": {"audio_codes", "audio_values"}}  # fmt: skip
        settings = {"sampling_rate", "frame_rate", "codebook_size", "num_quantizers"}
    else:
        from transformers import MimiConfig
        from transformers.models.dac import modeling_dac as dac
        from transformers.models.encodec import modeling_encodec as encodec
        from transformers.models.mimi import modeling_mimi as mimi

        def shared(kind):
            theirs = (dac, "Dac"), (encodec, "Encodec"), (mimi, "Mimi")
            outputs = [getattr(module, f"{name}{kind}Output") for module, name in theirs]
            return set.intersection(*(set(output.__dataclass_fields__) for output in outputs))

        names = {kind: shared(kind) for kind in ("Encoder", "Decoder", "")}
        config = MimiConfig()
        wanted = ("sampling_rate", "frame_rate", "codebook_size", "num_quantizers")
        settings = {name for name in wanted if hasattr(config, name)}
    for kind, wanted in names.items():
        ours = getattr(transformers_like, f"L3AC{kind}Output").__dataclass_fields__
        assert wanted and wanted <= set(ours)
    assert len(settings) == 4 and settings <= set(model.config._fields)
    assert model.sampling_rate == model.config.sampling_rate == 16000
    assert model.config.frame_rate * model.config.hop_length == 16000


def test_mistakes_are_named(model, audio):
    for values in (audio[0, 0], audio.reshape(1, 2, 40)):
        with pytest.raises(ArgumentError, match=r"input_values must have shape \(batch, 1, sample"):
            model.encode(values)
    with pytest.raises(ArgumentError, match=r"audio_codes must have shape \(batch, 1, frames\)"):
        model.decode(np.zeros((1, 4, 7), np.int64))
    with pytest.raises(ArgumentError, match="num_quantizers must be 1"):
        model.encode(audio, num_quantizers=8)
    with pytest.raises(ArgumentError, match="padding_mask must have shape"):
        model.encode(audio, np.ones((1, 40)))
    with pytest.raises(ArgumentError, match="1 up to a clip's end"):
        model.encode(audio, np.arange(80).reshape(2, 40) % 2)
