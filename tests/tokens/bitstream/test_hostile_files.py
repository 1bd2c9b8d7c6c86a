"""Damaged, cut off and forged .l3ac files: found, named, and never more than an error."""

import io
import math
import re
import struct
import tracemalloc
import zlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l3ac_jax.errors import BitstreamError
from l3ac_jax.tokens.bitstream.files import load, read_encoded
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat
from tests.tokens.bitstream.bitstream_files import FORMAT, assert_same, read, written

ENTROPIES = ["plain", "adaptive"]
BLOCK = 16  # tokens; 4 samples each at 16 kHz
HOP = 8  # samples at 32 kHz
FRAMES = 3 * BLOCK + 2


def small_audio(format: TokenFormat = FORMAT) -> EncodedAudio:
    """Two channels of three blocks, of which the last has two tokens more."""
    i = np.arange(FRAMES)
    tokens = np.stack([i * i % 15, i % 3]).astype(np.int32)
    return EncodedAudio(tokens, FRAMES * HOP - 5, 32000, "small", format)


def small_file(entropy, format: TokenFormat = FORMAT) -> bytes:
    return written(small_audio(format), entropy, BLOCK)


def header_bytes(data: bytes) -> int:
    return int.from_bytes(data[5:7], "little")


def block_ends(data: bytes, entropy) -> list[int]:
    """Where the blocks of a small file end: those of both channels in turn."""
    ends = [header_bytes(data)]
    for count in (BLOCK, BLOCK, BLOCK, BLOCK, BLOCK + 2, BLOCK + 2):
        if entropy == "plain":
            length = (math.ceil(count * math.log2(15)) + 32) // 8
        else:
            (head,) = struct.unpack_from(">H", data, ends[-1])
            length = 2 + head % 2**14 + 4
        ends.append(ends[-1] + length)
    assert ends[-1] == len(data)
    return ends[1:]


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_a_file_cut_off_anywhere_gives_its_whole_blocks_and_says_so(entropy):
    data = small_file(entropy)
    ends = block_ends(data, entropy)
    for length in range(len(data)):
        said = []
        whole = sum(end <= length for end in ends) // 2  # of both channels
        with pytest.raises(BitstreamError) as error:
            read(data[:length])
        assert str(error.value).startswith("some.l3ac: is ")
        if whole == 0:
            with pytest.raises(BitstreamError):
                read(data[:length], said.append)
            assert not said
            continue
        samples = whole * BLOCK * HOP
        expected = replace(
            small_audio(), tokens=small_audio().tokens[:, : whole * BLOCK], samples=samples
        )
        assert_same(read(data[:length], said.append), expected)
        place = f"block {whole + 1} of 3, channel {1 + sum(end <= length for end in ends) % 2} of 2"
        assert said == [str(error.value)]
        assert said[0].startswith(f"some.l3ac: is cut off in {place}, ")
        assert said[0].endswith(f"; the first {samples / 32000:.2f} s of 0.01 s are whole")


def test_what_is_left_of_a_file_has_the_tokens_of_its_samples():
    """At a rate so low that one of its samples is longer than a token."""
    audio = replace(small_audio(), samples=FRAMES * 4 // 16, sample_rate=1000)
    audio = replace(audio, tokens=audio.tokens[:, : audio.samples * 4])
    said = []
    rest = read(written(audio, block_tokens=6)[:-1], said.append)
    # 7 of 8 blocks are left, 42 tokens: 10 samples of 4 tokens each.
    assert said and rest.samples == 10
    np.testing.assert_array_equal(rest.tokens, audio.tokens[:, :40])


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_every_flipped_bit_is_found_and_named(entropy):
    data = small_file(entropy)
    ends = block_ends(data, entropy)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError) as error:
            read(bytes(damaged))
        message = str(error.value)
        if bit < 8 * 4:
            assert message == "some.l3ac: is not an .l3ac file"
        elif bit < 8 * header_bytes(data):
            assert "header" in message
        else:
            number = sum(end <= bit // 8 for end in ends)
            index, channel = number // 2, number % 2
            end = FRAMES if index == 2 else (index + 1) * BLOCK
            times = f"{index * BLOCK * 0.00025:.2f} s to {end * 0.00025:.2f} s"
            place = f"block {index + 1} of 3, channel {channel + 1} of 2, {times}"
            # A block whose length is wrong can seem to end after the file does.
            kinds = "is damaged in|is cut off in" if entropy == "adaptive" else "is damaged in"
            assert re.match(f"some.l3ac: ({kinds}) {place}", message)


def test_check_sums_of_25_bits_find_every_flipped_bit_of_the_longest_block():
    """A flip changes a CRC by what depends only on its distance from the end."""
    longest = 1023 * 31 // 8 + 1
    zeros = zlib.crc32(bytes(longest))
    message = bytearray(longest)
    for place in range(longest):
        for bit in range(8):
            message[place] = 1 << bit
            assert (zlib.crc32(message) ^ zeros) >> 7
        message[place] = 0


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_blocks_of_another_place_or_file_are_found(entropy):
    data = small_file(entropy)
    other = small_file(entropy, replace(FORMAT, weights="0" * 16))
    starts = [header_bytes(data), *block_ends(data, entropy)]
    blocks = [data[start:end] for start, end in pairwise(starts)]
    swapped = [blocks[i] for i in (2, 1, 0, 3, 4, 5)]
    with pytest.raises(BitstreamError, match="block 1 of 3, channel 1 of 2"):
        read(data[: starts[0]] + b"".join(swapped))
    with pytest.raises(BitstreamError, match="block 2 of 3, channel 1 of 2"):
        read(data[: starts[2]] + other[starts[2] :])
    left_out = data[: starts[2]] + data[starts[4] :]
    with pytest.raises(BitstreamError, match="block 2 of 3, channel 1 of 2"):
        read(left_out)
    with pytest.raises(BitstreamError, match="goes on after its last block"):
        read(data + data, pytest.fail)


def with_header(data: bytes, start: int, changed: bytes) -> bytes:
    """The file with other bytes in its header, whose check sum is made to fit."""
    end = header_bytes(data)
    header = data[:start] + changed + data[start + len(changed) : end - 4]
    return header + struct.pack("<I", zlib.crc32(header)) + data[end:]


@pytest.mark.parametrize(
    ("start", "changed", "reason"),
    [
        (4, b"\x02", "needs version 2 of the format, and this reads up to 1: install a newer"),
        (4, b"\x00", "version 0 was never written"),
        (7, b"\x02", "entropy coding 2 is not known"),
        (24, bytes(4), "the codec's sample rate must be 1 to"),
        (28, bytes(4), "the hop length must be 1 to"),
        (32, bytes(4), "the sample rate must be 1 to"),
        (36, bytes(8), "the number of samples must be 1 to"),
        (44, b"\xff\xff", "the number of channels must be 1 to 1024, got 65535"),
        (46, b"\x01\x02", "the number of tokens in a block must be 1 to 512, got 513"),
        (48, b"\x00", "levels must be"),
        (48, b"\xff", "its header makes no sense"),
        (49, b"\x01\x00", "levels must be 2 to 65535"),
        (49, b"\xff\xff\xff\xff", "levels must be 2 to 65535 and multiply to less than"),
        (53, b"\xff", "its header makes no sense: 'utf-8' codec can't decode"),
        (53, b"\x1b", "model's name must be printable"),
    ],
)
def test_headers_that_make_no_sense_are_refused_with_the_reason(start, changed, reason):
    forged = with_header(small_file("plain"), start, changed)
    with pytest.raises(BitstreamError, match=f"^some.l3ac: .*{re.escape(reason)}") as error:
        read(forged, pytest.fail)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"L3", b"RIFF....WAVEfmt ", b"PK\x03\x04" * 100])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "other.l3ac"
    path.write_bytes(content)
    with pytest.raises(BitstreamError, match=r"other\.l3ac: is (not an \.l3ac file|empty)$"):
        load(path, pytest.fail)


@given(st.sampled_from(ENTROPIES), st.data())
@settings(max_examples=200)
def test_forged_blocks_with_fitting_check_sums_are_read_or_refused(entropy, data):
    """Past the check sums: any payloads of a block, and nothing but BitstreamError."""
    audio = small_audio()
    short = replace(audio, tokens=audio.tokens[:1, :20], samples=20 * HOP)
    header = written(short, entropy)[: header_bytes(written(short, entropy))]
    seed = zlib.crc32(bytes(4), int.from_bytes(header[-4:], "little"))
    if entropy == "plain":
        bits = math.ceil(20 * math.log2(15))
        number = data.draw(st.integers(0, 2**bits - 1))
        check_bits = (bits + 32) // 8 * 8 - bits
        check = zlib.crc32(number.to_bytes(-(-bits // 8), "big"), seed) >> (32 - check_bits)
        block = (number << check_bits | check).to_bytes((bits + 32) // 8, "big")
    else:
        payload = data.draw(st.binary(max_size=11))
        payload = struct.pack(">H", data.draw(st.integers(0, 3)) << 14 | len(payload)) + payload
        block = payload + struct.pack(">I", zlib.crc32(payload, seed))
    try:
        encoded = read(header + block)
    except BitstreamError:
        return
    assert encoded.tokens.shape == (1, 20)
    assert set(encoded.tokens.flat) <= set(range(15))


@given(st.sampled_from(ENTROPIES), st.data())
@settings(max_examples=200)
def test_garbage_after_the_header_is_refused(entropy, data):
    valid = small_file(entropy)
    garbage = data.draw(st.binary(max_size=300))
    with pytest.raises(BitstreamError, match=r"^some\.l3ac: "):
        read(valid[: header_bytes(valid)] + garbage, lambda message: None)


def peak_memory(action) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_a_header_that_claims_years_takes_no_memory(entropy):
    forged = with_header(small_file(entropy), 36, struct.pack("<QHH", 2**40, 1024, 512))

    def refused():
        with pytest.raises(BitstreamError, match=r"(cut off|damaged) in block 1 of"):
            read(forged)

    assert peak_memory(refused) < 200_000  # most of it is pytest's


def test_memory_stays_in_proportion_to_the_file():
    """The file that holds most tokens has a bit for each, and they take 32 bits in memory.

    Blocks are joined at the end, for which all tokens are there twice.
    """
    silent = EncodedAudio(np.zeros((1, 60_000), np.int32), 240_000, 16000, "silence", FORMAT)
    data = written(silent, "adaptive")
    assert 8 * len(data) > 60_000
    assert peak_memory(lambda: read(data)) < 32 * 2 * len(data) + 100_000


def test_large_files_of_another_kind_are_not_read():
    stream = io.BytesIO(b"RIFF" + bytes(10_000))
    with pytest.raises(BitstreamError, match="is not an"):
        read_encoded(stream, "large.l3ac")
    assert stream.tell() < 10
