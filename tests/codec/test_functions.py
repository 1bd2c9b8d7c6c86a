"""What a codec computes, as functions to trace and to differentiate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.errors import ArgumentError
from tests.model.oracle import shared_codec
from tests.quick import QUICK_COMPILE, rms, speech

AUDIO = speech(600)
# Folded and unfolded parameters, two float32 evaluations of the same function.
ROUNDING = 3e-5


@pytest.fixture(scope="module")
def codec():
    return shared_codec("baseline")


def compiled(function):
    return jax.jit(function, compiler_options=QUICK_COMPILE)


def test_traced_they_give_what_the_codec_gives(codec):
    functions, lengths = codec.functions, np.array([600], np.int32)
    features, tokens = compiled(functions.encode)(codec.params, AUDIO, lengths)
    np.testing.assert_array_equal(tokens, codec.encode(AUDIO))
    given = compiled(functions.dequantize)(codec.params, tokens)
    np.testing.assert_allclose(given, features, atol=1e-6)  # products of one digit each
    audio = compiled(functions.decode_tokens)(codec.params, tokens)
    assert rms(audio - codec.decode(tokens)) < ROUNDING


def test_clips_can_be_mapped_and_derivatives_go_straight_through_the_quantizer(codec):
    batch = np.stack([AUDIO[0], speech(600, 9000)[0]])

    def loss(clip):
        features, tokens = codec.functions.encode(codec.params, clip[None])
        return jnp.sum(features**2), tokens[0]

    slopes, tokens = compiled(jax.vmap(jax.grad(loss, has_aux=True)))(batch)
    np.testing.assert_array_equal(tokens, codec.encode(batch))
    assert slopes.shape == batch.shape and all(map(np.any, slopes))


def test_decoding_is_differentiable_by_the_features(codec):
    decode = codec.functions.decode
    features = codec.encode_audio(AUDIO)[0]
    direction = np.random.default_rng(0).normal(size=features.shape).astype(np.float32)

    def loss(features):
        return jnp.mean(decode(codec.params, features) ** 2)

    loss_and_slopes = compiled(jax.value_and_grad(loss))
    slope = float((loss_and_slopes(features)[1] * direction).sum())
    step = 1e-3
    up, down = (float(loss_and_slopes(features + s * direction)[0]) for s in (step, -step))
    # the third derivative and float32's rounding each make about one per cent
    assert slope == pytest.approx((up - down) / (2 * step), rel=0.05)


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap])
def test_what_cannot_be_traced_names_what_can(codec, transform):
    with pytest.raises(ArgumentError, match=r"audio.*jax\.jit, vmap or grad.*codec\.functions"):
        transform(codec.encode)(AUDIO)
    with pytest.raises(ArgumentError, match=r"tokens.*codec\.functions.*decode_tokens"):
        transform(codec.decode)(np.zeros((1, 4), np.int32))
    with pytest.raises(ArgumentError, match=r"features.*codec\.functions"):
        transform(codec.decode_audio)(np.zeros((1, 4, 16), np.float32))
    with pytest.raises(ArgumentError, match=r"lengths.*codec\.functions"):
        transform(lambda lengths: codec.encode(AUDIO, lengths))(np.array([600]))
    with pytest.raises(ArgumentError, match=r"tokens.*codec\.functions"):
        transform(codec.levels)(np.zeros((1, 4), np.int32))
