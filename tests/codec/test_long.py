"""Long recordings: pieces give what one pass gives, in memory that does not grow."""

import errno
import itertools
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3ac_jax.codec import l3ac as codec_module
from l3ac_jax.codec.chunks import ChunkedEncoder
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.long import decoding as long_decoding
from l3ac_jax.codec.long.pieces import Geometry, Own, Pieces
from l3ac_jax.codec.long.spool import Spool
from l3ac_jax.errors import SpoolError
from l3ac_jax.model.ops.backend import ACCELERATOR, CPU, use_lowerings
from l3ac_jax.model.reach import Span
from tests.model.oracle import codec_of, shared_codec
from tests.quick import rms, speech
from tests.rounding import assert_same_tokens
from tests.small_configs import ABLATED_CONFIGS

# Two float32 evaluations of the same audio: the seeded official weights' own error is 2e-5.
AUDIO_RMS = 3e-5
# The same features as sums in another order, which differ by up to 1e-6.
SUMS = 1e-5
# All ways in which neighbours come in: windows, compression, positions, more and fewer stages.
CONFIGS = ["baseline", "compress3", "compress2_rotary", "compress2_decoder_depth2", "three_stages"]
SECONDS = 0.06


def one_pass_and_pieces(name: str, monkeypatch) -> tuple[L3AC, L3AC]:
    """The same codec twice; the second takes everything in pieces of about 80 samples."""
    monkeypatch.setattr(long_decoding, "CONVOLUTION_SECONDS", 0.005)
    monkeypatch.setattr(long_decoding, "TRANSFORMER_SECONDS", 0.005)
    small = dict.fromkeys(codec_module.BLOCKS, codec_module.Blocks(0, 0.005))
    monkeypatch.setattr(codec_module, "BLOCKS", small)
    whole = shared_codec(name)
    pieces = L3AC(whole.config, whole.params)
    monkeypatch.setattr(whole, "encodes_in_blocks", lambda samples: False)
    monkeypatch.setattr(pieces, "is_long", lambda samples: True)
    return whole, pieces


@pytest.mark.parametrize("name", CONFIGS)
def test_pieces_give_the_tokens_and_the_audio_of_one_pass(name, monkeypatch):
    whole, pieces = one_pass_and_pieces(name, monkeypatch)
    audio = speech(int(SECONDS * 16000) + 1)
    features, tokens = whole.encode_audio(audio)
    part_features, part_tokens = pieces.encode_audio(audio)
    assert_same_tokens(whole, audio, part_tokens, tokens)
    same = np.asarray(part_tokens == tokens)
    np.testing.assert_allclose(part_features[same], features[same], atol=SUMS)
    assert rms(np.asarray(pieces.decode(tokens)) - whole.decode(tokens)) < AUDIO_RMS
    by_features = pieces.decode_audio(features)
    assert rms(np.asarray(by_features) - whole.decode(tokens)) < AUDIO_RMS


def test_of_any_length_what_two_clips_share_has_the_same_tokens_to_the_bit(monkeypatch):
    """Blocks are one program: how long a clip is, and in which pieces it comes, changes nothing."""
    codec = codec_of("baseline")
    seconds = 0.02
    monkeypatch.setattr(
        codec_module, "BLOCKS", dict.fromkeys(codec_module.BLOCKS, codec_module.Blocks(0.1, 0.02))
    )
    codec = L3AC(codec.config, codec.params)
    audio = speech(9000)
    features, tokens = map(np.asarray, codec.encode_audio(audio))
    for samples in (1700, 3001, 8999):
        whole = samples // codec.hop_length
        some, others = map(np.asarray, codec.encode_audio(audio[:, :samples]))
        # Those at the end see zeros in place of what follows.
        sure = whole - codec.encoder_lag
        np.testing.assert_array_equal(others[:, :sure], tokens[:, :sure])
        np.testing.assert_array_equal(some[:, :sure], features[:, :sure])
    block = round(seconds * codec.frame_rate)
    stream = codec.streaming_encoder(block=block)
    parts = [stream.push(audio[:, at : at + 777]) for at in range(0, audio.shape[1], 777)]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.finish()], axis=1), tokens)


def test_features_of_a_published_size_are_in_blocks_what_they_are_in_one_pass(as_for_a_user):
    """But for rounding: XLA adds up in an order that depends on the shape and the processor."""
    audio = speech(5 * 16000)
    with use_lowerings(CPU):
        blocks = codec_of("3kbps")
        assert blocks.encodes_in_blocks(audio.shape[1])
        features, tokens = blocks.encode_audio(audio)
    with use_lowerings(ACCELERATOR):
        assert not blocks.encodes_in_blocks(audio.shape[1])
        whole_features, whole_tokens = blocks.encode_audio(audio)
    assert_same_tokens(blocks, audio, tokens, whole_tokens)
    same = np.asarray(tokens == whole_tokens)
    np.testing.assert_allclose(features[same], whole_features[same], atol=SUMS)


def test_clips_of_a_batch_end_where_their_lengths_say(monkeypatch):
    whole, pieces = one_pass_and_pieces("compress2", monkeypatch)
    audio = np.stack([speech(700)[0], speech(700, offset=9000)[0]])
    lengths = np.array([700, 401])
    tokens = whole.encode(audio, lengths)
    frames = -(-lengths // whole.hop_length)
    in_pieces = pieces.encode(audio, lengths)
    for clip, length, count, *rows in zip(audio, lengths, frames, in_pieces, tokens, strict=True):
        ours, expected = (np.asarray(row)[None, :count] for row in rows)
        assert_same_tokens(whole, clip[None, :length], ours, expected)
    assert not np.asarray(in_pieces)[1, frames[1] :].any()
    difference = np.asarray(pieces.decode(tokens, frames)) - whole.decode(tokens, frames)
    assert rms(difference) < AUDIO_RMS
    assert not np.asarray(pieces.decode(tokens, frames))[1, frames[1] * whole.hop_length :].any()


def test_audio_may_come_in_any_pieces(monkeypatch):
    whole, pieces = one_pass_and_pieces("compress3", monkeypatch)
    audio = np.stack([speech(900)[0], speech(900, offset=5000)[0]])
    encoder = pieces.chunked_encoder(2)
    cuts = [0, 1, 1, 350, 351, 899, 900]
    parts = [encoder.push(audio[:, a:b]) for a, b in itertools.pairwise(cuts)]
    assert sum(part.shape[1] for part in parts) > 0  # known before the end
    tokens = np.concatenate([*parts, encoder.finish()], axis=1)
    assert_same_tokens(whole, audio, tokens, whole.encode(audio))
    audio_parts = list(pieces.decode_chunks(tokens))
    assert len(audio_parts) > 3
    decoded = np.concatenate(audio_parts, axis=1)
    assert rms(decoded - whole.decode(tokens)) < AUDIO_RMS


def test_short_recordings_take_one_pass_through_the_same_interface():
    codec = codec_of("baseline")
    audio = speech(500)
    encoder = codec.chunked_encoder()
    assert encoder.push(audio[:, :300]).shape == (1, 0)
    encoder.push(audio[:, 300:])
    tokens = encoder.finish()
    np.testing.assert_array_equal(tokens, codec.encode(audio))
    (decoded,) = codec.decode_chunks(tokens)
    np.testing.assert_array_equal(decoded, codec.decode(tokens))


def test_what_is_long_is_decided_by_the_length_and_only_for_models_with_bounds():
    codec = codec_of("baseline")
    unbounded = L3AC(ABLATED_CONFIGS["convnext_v2"], {})
    for seconds, decides in [
        (codec_module.LONG_SECONDS, L3AC.is_long),
        (codec_module.BLOCKS["in blocks"].above, L3AC.encodes_in_blocks),
    ]:
        limit = round(seconds * codec.sample_rate)
        with use_lowerings(CPU):
            assert decides(codec, limit + 1)
            assert not decides(codec, limit)
            assert not decides(unbounded, limit + 1)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((2, 5), np.float32), "shape"),
        (np.full((1, 5), np.nan, np.float32), "finite"),
        (np.zeros((1, 5), np.int16), "floating point"),
    ],
)
def test_pieces_that_are_no_audio_are_refused(audio, message):
    with pytest.raises(ValueError, match=message):
        codec_of("baseline").chunked_encoder().push(audio)


def test_an_encoder_that_got_nothing_says_so():
    with pytest.raises(ValueError, match="no audio"):
        codec_of("baseline").chunked_encoder().finish()
    with pytest.raises(ValueError, match="channel"):
        ChunkedEncoder(codec_of("baseline"), 0)


def test_tokens_of_another_codebook_are_refused_before_any_pass():
    codec = codec_of("baseline")
    with pytest.raises(ValueError, match="0 to 59"):
        next(codec.decode_chunks(np.array([[60]])))


@given(
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(0, 7),
    st.integers(0, 5),
    st.integers(1, 20),
    st.lists(st.integers(0, 25)),
)
def test_pieces_are_the_whole_whatever_their_sizes(total, grid, past, future, least, cuts):
    """A moving sum that begins anew at each point of the grid, so that a piece off it shows."""
    total *= grid
    signal = np.random.default_rng(total).integers(-9, 9, total)

    def moving(x):
        padded = np.concatenate([np.zeros(past, int), x, np.zeros(future, int)])
        sums = [padded[i : i + past + 1 + future].sum() for i in range(len(x))]
        return np.array(sums) * (1 + np.arange(len(x)) % grid)

    def apply(window: np.ndarray, own: Own) -> np.ndarray:
        assert len(window) == geometry.window
        assert not window[own.length :].any()
        return moving(window)[own.first : own.stop]

    geometry = Geometry.of(
        lambda span: Span(span.first - past, span.last + future), grid, grid, least
    )
    pieces = Pieces(geometry, apply)
    results, start = [], 0
    for stop in [*sorted(cut for cut in cuts if cut < total), total]:
        results += pieces.push(signal[start:stop])
        start = stop
    results += pieces.finish()
    np.testing.assert_array_equal(np.concatenate(results), moving(signal))


def test_rows_come_back_from_the_temporary_file():
    rows = np.random.default_rng(0).normal(size=(3000, 700)).astype(np.float32)
    spool = Spool()
    spool.write(rows[:1])
    spool.write(rows[1:])
    blocks = list(spool.read())
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks), rows)
    spool.close()


def test_a_full_disk_is_named(monkeypatch):
    spool = Spool()

    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    spool.close()
    monkeypatch.setattr(spool, "_file", Full())
    with pytest.raises(SpoolError, match=r"No space left.*TMPDIR"):
        spool.write(np.zeros((1, 1), np.float32))


def test_temporary_files_end_with_the_decoding(monkeypatch):
    _, pieces = one_pass_and_pieces("baseline", monkeypatch)
    tokens = np.zeros((1, 200), np.int32)
    before = len(os.listdir("/proc/self/fd"))
    decoding = pieces.decode_chunks(tokens)
    next(decoding)
    assert len(os.listdir("/proc/self/fd")) > before
    decoding.close()
    assert len(os.listdir("/proc/self/fd")) == before
