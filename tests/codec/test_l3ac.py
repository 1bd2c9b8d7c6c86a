"""The public interface: batches, lengths, buckets and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.codec.buckets import bucket_tokens
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.programs import forget_programs
from tests.model.oracle import codec_of, pair, shared_codec
from tests.quick import rms, speech
from tests.rounding import assert_same_tokens


@pytest.fixture(scope="module")
def codec() -> L3AC:
    return shared_codec("baseline")


# Without compression and with it, in small and, with it, as published: what each layer makes of
# padding, rotary positions and other rates included, is in tests/model/test_contract.py.
@pytest.fixture(scope="module", params=["baseline", "compress3", "1kbps"])
def any_codec(request) -> L3AC:
    return shared_codec(request.param)


# Two float32 evaluations of the same audio: the seeded official weights' own error is 2e-5.
AUDIO_RMS = 3e-5


def test_a_clip_in_a_padded_batch_gives_what_it_gives_alone(any_codec):
    """Whatever the padding holds, and although the decoder's norm sees the whole clip."""
    hop = any_codec.hop_length
    # of the published configs, clips within one bucket: each more compiles for some seconds
    longest = round(0.95 * any_codec.frame_rate) if hop > 20 else 60
    shortest = longest * 3 // 4 if hop > 20 else 2
    lengths = np.array([longest * hop, shortest * hop + 1, (shortest + longest) // 2 * hop - 7])
    batch = np.full((len(lengths), lengths.max()), np.nan, np.float32)
    for row, (clip, length) in enumerate(zip(batch, lengths, strict=True)):
        clip[:length] = speech(length, offset=4000 * row + 2000)[0]
    frames = -(-lengths // hop)

    tokens = np.asarray(any_codec.encode(batch, lengths))
    audio = np.asarray(any_codec.decode(np.where(tokens >= 0, tokens, -1), frames))
    garbage = tokens.copy()
    garbage[np.arange(tokens.shape[1]) >= frames[:, None]] = -5
    again = np.asarray(any_codec.decode(garbage, frames))
    np.testing.assert_array_equal(audio, again)

    for row, (length, count) in enumerate(zip(lengths, frames, strict=True)):
        clip, found = batch[row : row + 1, :length], tokens[row : row + 1, :count]
        assert_same_tokens(any_codec, clip, found, any_codec.encode(clip))
        assert not tokens[row, count:].any()
        decoded = np.asarray(any_codec.decode(found))[0]
        assert rms(audio[row, : count * hop] - decoded) < AUDIO_RMS
        assert not audio[row, count * hop :].any()


def test_many_lengths_compile_a_handful_of_times():
    forget_programs()
    codec = codec_of("baseline")
    compilations = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: (
            compilations.append(event)
            if event == "/jax/core/compile/backend_compile_duration"
            else None
        )
    )
    rng = np.random.default_rng(0)
    for seconds in rng.uniform(0.1, 1.0, 100):
        codec.reconstruct(speech(round(seconds * codec.sample_rate)))
    buckets = {bucket_tokens(n, codec.frame_rate) for n in range(1, round(codec.frame_rate))}
    assert len(buckets) <= 4
    # encoder, dequantizer and decoder of each bucket, and nothing else
    assert 0 < len(compilations) <= 3 * len(buckets)


@pytest.mark.parametrize("rate", [44.4, 59.3, 166.7, 2666.7])
def test_buckets_hold_what_they_are_for(rate):
    for tokens in [*range(1, 300), 1667, 5000, 100_000]:
        bucket = bucket_tokens(tokens, rate)
        assert bucket >= tokens
        assert bucket <= max(1.6 * tokens + 16, 0.26 * rate + 16)


def test_results_do_not_depend_on_the_bucket(codec):
    """One clip alone, and the same clip padded by the caller into a longer bucket."""
    hop = codec.hop_length
    audio = speech(50 * hop + 3)
    tokens = codec.encode(audio)
    padded = np.pad(audio, [(0, 0), (0, 3 * audio.shape[1])], constant_values=np.inf)
    more = codec.encode(padded, [audio.shape[1]])
    assert_same_tokens(codec, audio, more[:, : tokens.shape[1]], tokens)
    longer = np.pad(np.asarray(tokens), [(0, 0), (0, 2000)])
    audio_alone = np.asarray(codec.decode(tokens))
    audio_padded = np.asarray(codec.decode(longer, [tokens.shape[1]]))
    assert rms(audio_alone - audio_padded[:, : audio_alone.shape[1]]) < AUDIO_RMS


def test_shapes_types_and_the_calls_of_the_official_package(codec):
    audio = speech(1001)
    features, tokens = codec.encode_audio(audio)
    frames = -(-1001 // codec.hop_length)
    assert isinstance(tokens, jax.Array) and tokens.dtype == jnp.int32
    assert tokens.shape == (1, frames)
    assert features.shape == (1, frames, codec.config.feature_dim)
    from_features = codec.decode_audio(features)
    assert from_features.shape == (1, frames * codec.hop_length)
    assert rms(from_features - codec.decode_audio(indices=tokens)) < AUDIO_RMS
    reconstructed = codec.reconstruct(jnp.asarray(audio))
    assert reconstructed.shape == audio.shape and reconstructed.dtype == jnp.float32
    np.testing.assert_array_equal(reconstructed, codec.decode(tokens)[:, :1001])
    assert codec.sample_rate == 16000
    assert codec.frame_rate == pytest.approx(codec.sample_rate / codec.hop_length)
    assert codec.bitrate == pytest.approx(codec.frame_rate * np.log2(codec.codebook_size))


def test_one_sample_is_enough(codec):
    assert codec.reconstruct(np.ones((1, 1), np.float32)).shape == (1, 1)


FLOATS = np.zeros((2, 50), np.float32)


@pytest.mark.parametrize(
    ("audio", "lengths", "message"),
    [
        (np.zeros(50, np.float32), None, r"shape \(clips, samples\), got \(50,\).*audio\[None\]"),
        (np.zeros((1, 1, 50), np.float32), None, r"got \(1, 1, 50\)"),
        (np.zeros((1, 0), np.float32), None, "empty"),
        (np.zeros((0, 50), np.float32), None, "empty"),
        (np.zeros((1, 50), np.int16), None, "floating point.*int16.*32768"),
        (np.array([[0, np.nan]], np.float32), None, "finite, got nan in clip 0 at index 1"),
        (np.array([[0.5, np.inf]], np.float32), None, "finite, got inf"),
        (FLOATS, [50], r"lengths must have shape \(2,\)"),
        (FLOATS, [50, 51], r"lengths\[1\] is 51, must be 1 to 50 samples"),
        (FLOATS, [0, 50], r"lengths\[0\] is 0"),
        (FLOATS, [1.5, 2.0], "lengths must be integers"),
    ],
)
def test_bad_audio_is_refused(codec, audio, lengths, message):
    with pytest.raises(ValueError, match=message):
        codec.encode(audio, lengths)


@pytest.mark.parametrize(
    ("tokens", "lengths", "message"),
    [
        (np.array([[0, 60]]), None, "tokens must be 0 to 59, got 60 in clip 0 at 1"),
        (np.array([[-1, 0]]), None, "got -1"),
        (np.zeros((1, 4), np.float32), None, "integers, got float32"),
        (np.zeros(4, int), None, r"tokens\[None\]"),
        (np.zeros((1, 0), int), None, "empty"),
        (np.zeros((1, 4), int), [5], "must be 1 to 4 tokens"),
    ],
)
def test_bad_tokens_are_refused(codec, tokens, lengths, message):
    assert codec.codebook_size == 60
    with pytest.raises(ValueError, match=message):
        codec.decode(tokens, lengths)


def test_decode_audio_takes_exactly_one_input(codec):
    for arguments in ({}, {"features": FLOATS[None], "indices": np.zeros((1, 4), int)}):
        with pytest.raises(ValueError, match="either features or indices"):
            codec.decode_audio(**arguments)
    with pytest.raises(ValueError, match=r"\(clips, tokens, 16\)"):
        codec.decode_audio(FLOATS[None])


def test_a_new_length_is_announced_before_it_is_compiled():
    forget_programs()
    codec = codec_of("baseline")
    lines = []
    codec.on_compile = lines.append
    codec.encode(speech(4000))
    codec.encode(speech(3990))
    assert len(lines) == 1 and "encoder" in lines[0] and "0.25" in lines[0]
    assert not codec.is_compiled(4000)  # the decoder is not
    codec.decode(codec.encode(speech(4000)))
    assert len(lines) == 2 and "decoder" in lines[1]
    assert codec.is_compiled(3990) and not codec.is_compiled(40000)


def test_ablation_switches_change_the_function_but_not_the_parameters(codec):
    oracle = pair("baseline")
    audio = speech(600)
    plain = codec.encode_audio(audio)[0]
    for table, changes in (
        ("tpooling", {"enabled": False}),
        ("tpooling", {"absolute": False}),
        ("transformer", {"attention": "full"}),
    ):
        part = getattr(oracle.config, table).model_copy(update=changes)
        config = oracle.config.model_copy(update={table: part})
        changed = L3AC(config, oracle.params).encode_audio(audio)[0]
        assert rms(changed - plain) > 1e-3
