"""Encoded audio in .l3ac files: the bytes are fixed, the rates kept, and it all comes back."""

import io
import math
import os
import zlib
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l3ac_jax.config import PUBLISHED, published_config
from l3ac_jax.errors import BitstreamError, OutputError
from l3ac_jax.tokens.bitstream.files import (
    WrittenSize,
    check_save,
    load,
    read_encoded,
    save,
    write_encoded,
)
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat, frames_of
from tests.tokens.bitstream.bitstream_files import FORMAT, assert_same, read, written

ENTROPIES = ["plain", "adaptive"]

# Files with these bytes exist: they must stay what is written, and what can be read.
GOLDEN = {
    "plain": """
        4c334143 01 3f00 00 0123456789abcdef fedcba9876543210 803e0000 04000000 007d0000
        af04000000000000 0200 4000 02 0300 0500 676f6c64656e 5bef7c21
        3b830ae277635a6e608753a4bf11476f30da1a926612e7f40a0f5bfa901476d7a5f67a
        41d846598faf4d20a5e09a556869a65fa8f1f3bff86c2b94b7fc924d3cbdc0118fcb29
        480514150ba92ead7ca0090d819c25bb0b10e44e8ec99c13a07f900083380209d094b388d99fb779e575
        866ac315
        c2fee5606db2ebaf12d02e5bae0fc84352ede6066166d8a4e1a29e0c7a105d368a92ea3e33289b86e8b8
        eec0fd3c
    """,
    "adaptive": """
        4c334143 01 3f00 01 0123456789abcdef fedcba9876543210 803e0000 04000000 007d0000
        af04000000000000 0200 4000 02 0300 0500 676f6c64656e 5613b048
        0020 01dc185713bb1ad373043a9d25f88a3b7986d0d49330973fa0507adfd480a3b6 96fa9184
        4008 8000000000000000 f48c53a2
        002a 480514150ba92ead7ca0090d819c25bb0b10e44e8ec99c13a07f900083380209d094b388d99fb779e575
        a9cc8f51
        8022 03e57632756264d23ec508a154ab31362972deda6a805932250be6fe6ce0a0df345c 90d72e6a
    """,
}


def golden_audio() -> EncodedAudio:
    """Two blocks in each channel: without a pattern; one token for ever, then levels in turn."""
    i = np.arange(150)
    tokens = np.stack([i**3 // 7 % 15, np.where(i < 64, 7, i * 4 % 15)])
    return EncodedAudio(tokens.astype(np.int32), 1199, 32000, "golden", FORMAT)


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_the_bytes_are_fixed(entropy):
    golden = bytes.fromhex(GOLDEN[entropy])
    assert written(golden_audio(), entropy, block_tokens=64).hex() == golden.hex()
    assert_same(read(golden), golden_audio())


def test_plain_files_are_what_their_description_says():
    """Read here as the description of tokens/bitstream/files.py says, digit by digit."""
    data = bytes.fromhex(GOLDEN["plain"])
    end_of_header = int.from_bytes(data[5:7], "little")
    header_check = zlib.crc32(data[: end_of_header - 4])
    assert header_check == int.from_bytes(data[end_of_header - 4 : end_of_header], "little")
    position, tokens = end_of_header, ([], [])
    for number, count in enumerate([64, 64, 86, 86]):
        bits = math.ceil(count * math.log2(15))
        length = (bits + 32) // 8
        block = f"{int.from_bytes(data[position : position + length], 'big'):0{8 * length}b}"
        payload, check = int(block[:bits], 2), block[bits:]
        seed = zlib.crc32(number.to_bytes(4, "little"), header_check)
        expected = zlib.crc32(payload.to_bytes(math.ceil(bits / 8), "big"), seed)
        assert f"{expected:032b}".startswith(check)
        tokens[number % 2].extend(payload // 15**digit % 15 for digit in range(count))
        position += length
    assert position == len(data)
    np.testing.assert_array_equal(tokens, golden_audio().tokens)


def audio_of(model: str, tokens: np.ndarray) -> EncodedAudio:
    """Tokens of a published model, in one channel or more, at its sample rate."""
    config = published_config(model).model
    tokens = np.atleast_2d(tokens).astype(np.int32)
    rate, hop = config.sample_rate, config.hop_length
    meaning = TokenFormat("0" * 16, "0" * 16, rate, hop, config.quantizer.levels)
    return EncodedAudio(tokens, tokens.shape[1] * hop, rate, model, meaning)


def size_of(encoded, entropy="plain") -> WrittenSize:
    return write_encoded(io.BytesIO(), encoded, entropy)


@pytest.mark.parametrize("model", ["0k75bps", "3kbps"])
def test_plain_is_within_half_a_percent_of_nominal_from_10_s_on(model):
    config = published_config(model).model
    shortest = math.ceil(10 * config.frame_rate)
    # Up to 1535 tokens, there is every way in which tokens can be left for the last block.
    sizes = [
        size_of(audio_of(model, np.zeros(frames))) for frames in range(shortest, shortest + 1100)
    ]
    assert max(size.relative for size in sizes) < 1.005
    hour = size_of(audio_of(model, np.zeros(int(3600 * config.frame_rate))))
    assert hour.relative < 1.005
    assert hour.nominal_bits == pytest.approx(3600 * config.bitrate, rel=1e-5)


def test_adaptive_is_within_one_percent_of_nominal_for_tokens_without_a_pattern():
    random = np.random.default_rng(0)
    for model in ("0k75bps", "3kbps"):
        config = published_config(model).model
        for seconds in (10, 17, 60):
            frames = math.ceil(seconds * config.frame_rate)
            tokens = random.integers(0, config.codebook_size, frames)
            assert size_of(audio_of(model, tokens), "adaptive").relative < 1.01


def levels_of_speech(model: str, frames: int) -> np.ndarray:
    """Tokens whose levels are mostly in the middle and close to those before, as after tanh."""
    random = np.random.default_rng(0)
    levels = published_config(model).model.quantizer.levels
    latents = random.normal(size=(frames, len(levels)))
    for frame in range(1, frames):
        latents[frame] = 0.8 * latents[frame - 1] + 0.6 * latents[frame]
    steps = np.array(levels) - 1
    chosen = np.round((np.tanh(latents) + 1) / 2 * steps).astype(int)
    return np.ravel_multi_index(tuple(chosen.T), levels, order="F")


@pytest.mark.parametrize("model", ["0k75bps", "3kbps"])
def test_adaptive_gains_by_order_and_frequency_of_levels(model):
    tokens = levels_of_speech(model, 5000)
    in_order = size_of(audio_of(model, tokens), "adaptive")
    shuffled = size_of(audio_of(model, np.random.default_rng(0).permutation(tokens)), "adaptive")
    assert in_order.relative < 0.9 < shuffled.relative < 1


def test_channels_have_models_of_their_own():
    tokens = levels_of_speech("0k75bps", 2048)
    one = size_of(audio_of("0k75bps", tokens), "adaptive")
    both = size_of(audio_of("0k75bps", np.stack([tokens, tokens])), "adaptive")
    assert both.block_bytes == 2 * one.block_bytes


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_header_of_published_models_takes_less_than_80_bytes(model):
    assert size_of(audio_of(model, np.zeros(1))).header_bytes < 80


def test_the_size_is_said_in_a_line():
    size = WrittenSize(header_bytes=70, block_bytes=3747, nominal_bits=29892.3, seconds=10)
    assert str(size) == (
        "3817 bytes, 3053.6 bit/s; without the header of 70 bytes 2997.6 bit/s, "
        "100.28 % of the nominal 2989.2"
    )


@st.composite
def encoded_audio(draw):
    levels = tuple(draw(st.lists(st.integers(2, 9), min_size=1, max_size=4)))
    rates = st.sampled_from([1, 8000, 16000, 44100, 192000])
    meaning = TokenFormat("00" * 8, "ff" * 8, draw(rates), draw(st.integers(1, 400)), levels)
    rate, samples = draw(rates), draw(st.integers(1, 5000))
    while frames_of(samples, rate, meaning) > 600:
        samples = samples // 2 + 1 if samples > 1 else 1
        meaning = replace(meaning, hop_length=meaning.hop_length * 2)
    shape = (draw(st.integers(1, 3)), frames_of(samples, rate, meaning))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    tokens = random.integers(0, draw(st.integers(1, math.prod(levels))), shape)
    name = draw(st.sampled_from(["3kbps", "runs/первый", "x" * 1024]))
    return EncodedAudio(tokens.astype(np.int32), samples, rate, name, meaning)


@given(encoded_audio(), st.sampled_from(ENTROPIES), st.integers(1, 512))
@settings(max_examples=150)
def test_whatever_is_written_is_read(encoded, entropy, block_tokens):
    data = written(encoded, entropy, block_tokens)
    assert_same(read(data), encoded)
    assert written(encoded, entropy, block_tokens) == data


def test_save_and_load(tmp_path):
    size = save(tmp_path / "a.l3ac", golden_audio(), "adaptive")
    assert size.file_bytes == (tmp_path / "a.l3ac").stat().st_size
    assert_same(load(tmp_path / "a.l3ac"), golden_audio())
    assert list(tmp_path.iterdir()) == [tmp_path / "a.l3ac"]


def test_nothing_is_replaced_unasked_and_names_end_in_l3ac(tmp_path):
    path = tmp_path / "a.l3ac"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="already exists"):
        save(path, golden_audio())
    assert path.read_bytes() == b"precious"
    save(path, golden_audio(), overwrite=True)
    assert_same(load(path), golden_audio())
    with pytest.raises(BitstreamError, match=r"a\.npz: .* the name must end so"):
        check_save(tmp_path / "a.npz", overwrite=False)


def test_what_cannot_be_opened_is_one_clear_error(tmp_path):
    for path, reason in ((tmp_path / "none.l3ac", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(BitstreamError, match=f"{path}: cannot be read: {reason}"):
            load(path)


def test_pipes_can_be_read():
    data = written(golden_audio(), block_tokens=64)
    reading, writing = os.pipe()

    def write_slowly():
        with open(writing, "wb", buffering=0) as sink:
            for start in range(0, len(data), 50):
                sink.write(data[start : start + 50])

    Thread(target=write_slowly).start()
    with open(reading, "rb") as stream:
        assert_same(read_encoded(stream, "standard input"), golden_audio())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"samples": 1201}, r"1201 samples at 32000 Hz have 151 tokens a channel, got 150"),
        ({"samples": 0}, "number of samples must be 1 to"),
        ({"sample_rate": 0}, "sample rate must be 1 to 1048575, got 0"),
        ({"model": ""}, "model's name must be printable"),
        ({"model": "two\nlines"}, "model's name must be printable"),
        ({"model": "x" * 1025}, "model's name must be printable, of 1 to 1024 bytes"),
        ({"model": "\udcff"}, "model's name must be printable"),
        ({"tokens": np.full((1, 150), 15)}, "tokens must be 0 to 14, got 15"),
        ({"tokens": np.full((1, 150), -1)}, "tokens must be 0 to 14, got -1"),
        ({"tokens": np.zeros((1, 150))}, r"must be integers of shape .* got float64"),
        ({"tokens": np.zeros(150, int)}, r"must be integers of shape .* got int64 of shape"),
        ({"tokens": np.zeros((0, 150), int)}, "number of channels must be 1 to 1024, got 0"),
        ({"format": replace(FORMAT, config="0123")}, "fingerprints have 16 hexadecimal digits"),
        ({"format": replace(FORMAT, levels=(3, 1))}, r"levels must be 2 to 65535 .* \(3, 1\)"),
        ({"format": replace(FORMAT, levels=(65535,) * 2)}, "multiply to less than"),
    ],
)
def test_what_cannot_be_written_is_one_clear_error(changes, reason):
    with pytest.raises(BitstreamError, match=reason):
        written(replace(golden_audio(), **changes))


def test_settings_that_are_not_there_are_refused():
    with pytest.raises(BitstreamError, match="entropy must be one of"):
        written(golden_audio(), "huffman")  # pyright: ignore
    with pytest.raises(BitstreamError, match="tokens in a block must be 1 to 512, got 513"):
        written(golden_audio(), block_tokens=513)
    coarse = replace(FORMAT, levels=(40,))
    assert_same(
        read(written(replace(golden_audio(), format=coarse))),
        replace(golden_audio(), format=coarse),
    )
    with pytest.raises(BitstreamError, match="adaptive coding takes up to 32 levels"):
        written(replace(golden_audio(), format=coarse), "adaptive")
