"""What every layer promises: padding never leaks, `reach` is the exact receptive field, and step
by step equals all at once, as late as it has to be and no later.
"""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l3ac_jax.config.model import (
    DecoderConfig,
    EncoderConfig,
    TPoolingConfig,
    TransformerConfig,
)
from l3ac_jax.errors import StreamingError
from l3ac_jax.model.decoder import Decoder, DecoderStage
from l3ac_jax.model.encoder import Encoder, EncoderStage
from l3ac_jax.model.enhance import EnhanceBlock
from l3ac_jax.model.layers import (
    BlockOptions,
    Conv,
    DepthwiseConv,
    StridedConv,
)
from l3ac_jax.model.reach import Span
from l3ac_jax.model.streams import Flow, Stream
from l3ac_jax.model.tpooling import TConv, TrendBranch
from l3ac_jax.model.transformer import (
    WRITTEN_OUT,
    DecoderTransformer,
    EncoderTransformer,
    LocalTransformer,
)
from l3ac_jax.model.units import ConvUnit, LegacyUnit, UnitStack
from l3ac_jax.model.upsampling import LinearUpsample, NearestUpsample, SplitUpsample
from tests.quick import QUICK_COMPILE

jit = partial(jax.jit, compiler_options=QUICK_COMPILE)
TPOOLING = TPoolingConfig(encoder_kernels=(1, 5, 11), decoder_kernels=(1, 5, 11))
ENCODER = EncoderConfig(rates=(3, 2), dims=(4, 6, 8), depths=(1, 1, 1))
DECODER = DecoderConfig(rates=(2, 3), dims=(6, 4, 4), depths=(1, 1, 1))
COMPRESSED = TransformerConfig(encoder_depth=3, decoder_depth=3, window_size=4, compress_rate=2)
CONVNEXT_V2 = BlockOptions(grn="convnext_v2")
CAUSAL, SOON = BlockOptions(look_ahead=0), BlockOptions(look_ahead=7)
RUNNING, NO_NORM = ({"statistics": kind, "memory": 20.0} for kind in ("running", "none"))
RUNNING_DECODER = DECODER.model_copy(update={"norm_statistics": "running"})


def upsampled(kind):
    return RUNNING_DECODER.model_copy(update={"upsampling": kind})


# name: (layer, input channels or None for a waveform, output frames per input frame)
LAYERS = {
    "conv": (Conv(3, 5), 4, 1),
    "dilated conv": (Conv(3, 7, 9), 4, 1),
    "depthwise conv": (DepthwiseConv(7, 3), 4, 1),
    "strided conv": (StridedConv(5, 3), 4, 1 / 3),
    "linear upsample 2": (LinearUpsample(2), 4, 2),
    "linear upsample 5": (LinearUpsample(5), 4, 5),
    "nearest upsample": (NearestUpsample(3), 4, 3),
    "split upsample": (SplitUpsample(2), 4, 2),
    "conv unit": (ConvUnit(4), 4, 1),
    "conv unit that compares channels": (ConvUnit(4, CONVNEXT_V2), 4, 1),
    "legacy unit": (LegacyUnit(4, 3), 4, 1),
    "unit stack": (UnitStack(4, (1, 3)), 4, 1),
    "trend branch": (TrendBranch(5, 2, 2), None, 1),
    "trend branch without absolute": (TrendBranch(5, 2, 2, False), None, 1),
    "tconv": (TConv(4, TPOOLING), None, 1),
    "enhance block": (EnhanceBlock(4, TPOOLING), 4, 1),
    "encoder stage": (EncoderStage(4, 2, 3, 5), 4, 1 / 3),
    "decoder stage": (DecoderStage(4, 1, 2, 5, TPOOLING), 4, 2),
    "local transformer": (LocalTransformer(8, 2, 5), 8, 1),
    "rotary transformer": (LocalTransformer(8, 2, 5, "rotary"), 8, 1),
    "few heads": (LocalTransformer(8, 2, 5, heads=2, head_dim=3), 8, 1),
    "full attention": (LocalTransformer(8, 2, 5, "dynamic_bias", "full"), 8, 1),
    "full rotary attention": (LocalTransformer(8, 2, 5, "rotary", "full"), 8, 1),
    "encoder transformer": (EncoderTransformer(COMPRESSED, 8), 8, 1 / 2),
    "decoder transformer": (DecoderTransformer(COMPRESSED, 8), 8, 2),
    "encoder": (Encoder(ENCODER, 8, TPOOLING), None, 1 / 6),
    "encoder that compares channels": (
        Encoder(ENCODER, 8, TPOOLING, CONVNEXT_V2), None, 1 / 6,
    ),
    "decoder": (Decoder(DECODER, TPOOLING), 8, 6),
    "causal conv": (Conv(3, 7, 2, 0), 4, 1),
    "conv with some look-ahead": (Conv(3, 7, 2, 4), 4, 1),
    "causal linear upsample 2": (LinearUpsample(2, 0), 4, 2),
    "causal linear upsample 5": (LinearUpsample(5, 0), 4, 5),
    "linear upsample 4 with some look-ahead": (LinearUpsample(4, 1), 4, 4),
    "causal trend branch": (TrendBranch(5, 2, 2, look_ahead=0), None, 1),
    "trend branch with some look-ahead": (TrendBranch(5, 2, 2, look_ahead=7), None, 1),
    "causal tconv": (TConv(4, TPOOLING, CAUSAL), None, 1),
    "tconv with some look-ahead": (TConv(4, TPOOLING, SOON), None, 1),
    "causal conv unit": (ConvUnit(4, CAUSAL), 4, 1),
    "causal legacy unit": (LegacyUnit(4, 3, CAUSAL), 4, 1),
    "enhance block, running": (EnhanceBlock(4, TPOOLING, **RUNNING), 4, 1),
    "causal enhance block": (EnhanceBlock(4, TPOOLING, CAUSAL, **RUNNING), 4, 1),
    "enhance block without norm": (EnhanceBlock(4, TPOOLING, SOON, **NO_NORM), 4, 1),
    "causal encoder": (Encoder(ENCODER, 8, TPOOLING, CAUSAL), None, 1 / 6),
    "encoder with some look-ahead": (Encoder(ENCODER, 8, TPOOLING, SOON), None, 1 / 6),
    "causal decoder, nearest": (Decoder(upsampled("nearest"), TPOOLING, CAUSAL), 8, 6),
    "causal decoder": (Decoder(RUNNING_DECODER, TPOOLING, CAUSAL), 8, 6),
    "causal decoder, transposed": (Decoder(upsampled("transposed"), TPOOLING, CAUSAL), 8, 6),
    "decoder with some look-ahead": (Decoder(RUNNING_DECODER, TPOOLING, SOON), 8, 6),
}  # fmt: skip
# What needs the whole clip, or all of its past in detail.
WHOLE = ("compares channels", "full")
OF_CLIP = ("enhance block", "decoder stage", "decoder")
FRAMES, REAL = 60, 30


def moved(params, key):
    """Parameters off their initial values, where GRN and biases would be invisible."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        tree,
        [
            leaf + 0.3 * jax.random.normal(k, leaf.shape)
            for leaf, k in zip(leaves, keys, strict=True)
        ],
    )


@pytest.fixture(params=LAYERS, scope="module")
def case(request):
    return make_case(request.param)


@cache
def make_case(name):
    layer, channels, ratio = LAYERS[name]
    shape = (2, FRAMES) if channels is None else (2, FRAMES, channels)
    x = jax.random.normal(jax.random.key(0), shape)
    init = jit(lambda key: moved(layer.init(key, x, None), jax.random.key(2)))
    params = init(jax.random.key(1))
    return layer, jit(layer.apply), params, x, ratio


def streams(name):
    return name not in OF_CLIP and not any(word in name for word in WHOLE)


@pytest.fixture(params=[name for name in LAYERS if streams(name)], scope="module")
def stepping(request):
    """A layer, what starts it, and its steps."""
    layer, apply, params, x, ratio = make_case(request.param)
    channels = LAYERS[request.param][1]
    state, after = layer.apply(params, Flow(len(x), channels), method="start")

    def step(params, state, frames, real):
        return layer.apply(params, state, Stream(frames, real), method="step")

    compiled = jit(step)

    def in_steps(params, x, size, padding=math.nan, step=compiled):
        """All frames that come out, which of them are real, and those of the clip."""
        past = round(after.lag / ratio) + size
        frames = jnp.concatenate(
            [x, jnp.full((len(x), -x.shape[1] % size + past, *x.shape[2:]), padding)], axis=1
        )
        real = jnp.arange(frames.shape[1])[None] < jnp.full((len(x), 1), x.shape[1])
        now, parts, flags = state, [], []
        for start in range(0, frames.shape[1] - size + 1, size):
            here = slice(start, start + size)
            now, (part, flag) = step(params, now, frames[:, here], real[:, here])
            parts.append(part)
            flags.append(flag)
        count = round(x.shape[1] * ratio)
        together = jnp.concatenate(parts, axis=1)
        return together[:, after.lag : after.lag + count], jnp.concatenate(flags, axis=1)

    traced = partial(in_steps, padding=1e3, step=step)
    return layer, apply, params, x, ratio, after, in_steps, traced


def test_padding_never_reaches_real_frames(case):
    _, apply, params, x, ratio = case
    alone = apply(params, x[:, :REAL], None)
    lengths, real = jnp.array([REAL, FRAMES]), int(REAL * ratio)
    # The second clip has no padding: it is what it is beside one that has none either.
    beside_whole = apply(params, x, jnp.array([FRAMES, FRAMES]))
    for padding in (0.0, 1e30, math.inf, math.nan):
        together = apply(params, x.at[0, REAL:].set(padding), lengths)
        np.testing.assert_allclose(together[0, :real], alone[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(together[1], beside_whole[1], rtol=1e-5, atol=1e-5)


def test_gradients_do_not_depend_on_padding(case):
    layer, _, params, x, ratio = case
    real = int(REAL * ratio)

    def loss(params, x, lengths):
        return jnp.sum(jnp.sin(layer.apply(params, x, lengths)[:, :real]))

    gradient = jit(jax.grad(loss, argnums=(0, 1)))
    of_params, of_input = gradient(params, x[:, :REAL], None)
    # finite: a layer that looks at no neighbours leaves its padding as it is, and 0 x NaN is NaN
    padded = x.at[:, REAL:].set(1e3)
    padded_of_params, padded_of_input = gradient(params, padded, jnp.array([REAL, REAL]))
    np.testing.assert_allclose(padded_of_input[:, :REAL], of_input, rtol=1e-3, atol=1e-3)
    assert not np.any(padded_of_input[:, REAL:])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
        padded_of_params,
        of_params,
    )


def test_reach_is_the_exact_receptive_field(case):
    layer, _, params, x, ratio = case
    frames = int(FRAMES * ratio)

    def energy_of_frame(x, frame):
        return jnp.sum(layer.apply(params, x, None)[0, frame])

    gradient = jit(jax.grad(energy_of_frame))
    for frame in (0, frames // 2, frames - 1):
        influence = np.abs(gradient(x, frame)[0]).reshape(FRAMES, -1).max(axis=1)
        seen = np.flatnonzero(influence)
        span = layer.apply({}, Span(frame, frame), method="reach")
        assert span.first <= seen[0] and seen[-1] <= span.last
        # Pooling passes one gradient per maximum and interpolation weights can vanish at the
        # rim, so the last frames of the structural field may carry none for a given input.
        if not any(word in repr(layer) for word in ("Trend", "TConv", "Enhance", "coder")):
            assert seen[0] == max(span.first, 0)
            assert seen[-1] == min(span.last, FRAMES - 1)


def test_steps_of_any_size_equal_all_at_once(stepping):
    """NaN before and after the clip changes nothing; whose frames they are is said."""
    layer, apply, params, x, ratio, after, in_steps, _ = stepping
    whole = apply(params, x, None)
    for size in (*((6, 30) if ratio < 1 else (1, 7)), *long_steps(layer)):
        found, real = in_steps(params, x, size)
        # Of the encoder transformers with their parameters moved, values reach 9.
        np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-4, err_msg=f"steps of {size}")
        count = round(FRAMES * ratio)
        places = np.arange(real.shape[1])
        belongs = (places >= after.lag) & (places < after.lag + count)
        np.testing.assert_array_equal(real, np.broadcast_to(belongs, real.shape))


def test_gradients_of_steps_are_those_of_all_at_once(stepping):
    layer, _, params, x, _, _, _, traced = stepping
    if isinstance(layer, Encoder | Decoder | EncoderTransformer | DecoderTransformer):
        return  # chains of the others, whose gradients take a minute to compile
    x = x[:, :18]

    def loss(outputs):
        return jnp.sum(jnp.sin(outputs))

    whole = jit(jax.grad(lambda params, x: loss(layer.apply(params, x, None)), argnums=(0, 1)))
    expected = whole(params, x)
    for size in (12, *long_steps(layer)):
        stepped = jax.grad(lambda params, x, n=size: loss(traced(params, x, n)[0]), argnums=(0, 1))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
            jit(stepped)(params, x),
            expected,
        )


def long_steps(layer) -> tuple[int, ...]:
    """A step of more blocks than are written out, and a bit."""
    return ((WRITTEN_OUT + 1) * layer.window + 2,) if isinstance(layer, LocalTransformer) else ()


def test_a_step_of_many_windows_is_no_longer_a_program():
    """Windows of a few frames are for ablations: a block of 1.2 s has hundreds of them."""
    layer = LocalTransformer(8, 2, 2)
    state, _ = layer.apply({}, Flow(1, 8), method="start")

    def lines(frames):
        x, real = jnp.zeros((1, frames, 8)), jnp.ones((1, frames), bool)
        params = jax.eval_shape(lambda: layer.init(jax.random.key(0), x, None))
        step = jit(lambda p, s: layer.apply(p, s, Stream(x, real), method="step"))
        return step.lower(params, state).as_text().count("\n")

    assert lines(400) < 1.1 * lines(20)


def test_the_lag_is_the_least_possible(stepping):
    """The last frame of a step counts for the last that is emitted; no later one would."""
    layer, _, _, _, ratio, after, _, _ = stepping
    at_once = round(max(1 / ratio, 1))  # frames that come with the first that is needed
    # Frame n of the output is emitted with the frame of the input whose outputs it is among, later
    # by the lag.
    slack, bound = [], layer.bind({})
    for frame in range(120, 240):
        needed = bound.local_reach(Span(frame, frame)).last
        emitted_with = math.ceil((frame + after.lag + 1) / ratio - 1e-9) - 1
        assert needed <= emitted_with
        slack.append(emitted_with - needed)
    assert min(slack) < at_once


@pytest.mark.parametrize("name", [name for name in LAYERS if not streams(name)])
def test_what_needs_the_whole_clip_refuses_to_start(name):
    layer, channels, _ = LAYERS[name]
    with pytest.raises(StreamingError, match="cannot work step by step"):
        layer.apply({}, Flow(2, channels), method="start")


@pytest.mark.parametrize("width", [3, 5, 9, 45])
def test_reach_of_pooling_is_attained(width):
    from l3ac_jax.model.tpooling import pooling_reach, tpool

    signal = jnp.zeros((1, 201)).at[0, 100].set(1)
    touched = np.flatnonzero(np.asarray(tpool(signal, width))[0])
    assert touched[0] == 100 - pooling_reach(width)
    assert touched[-1] == 100 + pooling_reach(width)
