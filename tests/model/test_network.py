"""The whole network against the official code, by one criterion.

Against the official code in float64, our float32 error (root mean square) is at most twice the
official float32 one. Tokens agree except where the float64 value lies within 1e-4 of a boundary.

On a clip of ten tokens either error is luck: their ratio scatters by a factor of 1.5 from clip to
clip, around a mean of 0.7 to 1.1. So the small networks are measured on several clips: the
geometric mean of the ratios is what may be 2, and a single one 10.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.config import PUBLISHED
from l3ac_jax.model.network import Network
from l3ac_jax.model.params import flatten
from l3ac_jax.official.names import official_places
from tests.model.oracle import Pair, codec_of, pair, shared_codec
from tests.quick import QUICK_COMPILE, rms, speech
from tests.rounding import ROUNDING_MARGIN
from tests.small_configs import SMALL_CONFIGS

CLIPS = 5
# Published models without compression and with it. The two others have numbers in which they differ
# (strides, window, compression 2 or 3), and nothing that one of these or a small one has not: of
# them, one short clip is enough to tell that they are built and converted as they should be.
WHOLE = ("1kbps", "3kbps")


def codec(name: str) -> L3AC:
    """Compiled as for a user where it is one of the models that users have."""
    return own_codec(name) if name in WHOLE else shared_codec(name)


own_codec = cache(codec_of)


@cache
def analyze(name: str):
    network = Network(pair(name).config)
    return jax.jit(partial(network.apply, method="analyze"), compiler_options=QUICK_COMPILE)


def error_ratio(ours, official, exact) -> float:
    """Our error over the official one."""
    ours, official = np.asarray(ours, np.float64), np.asarray(official, np.float64)
    return rms(ours - exact) / rms(official - exact)


def assert_within_twice_the_official_error(ratios: list[float], what: str) -> None:
    assert np.exp(np.mean(np.log(ratios))) <= 2, f"{what}: {ratios}"
    assert max(ratios) <= 10, f"{what}: {ratios}"


def clips(name: str, samples: int) -> list[np.ndarray]:
    """Different parts of a recording; one of a published config, whose clips are long enough."""
    count = CLIPS if name in SMALL_CONFIGS else 1
    if samples < 2 * pair(name).config.hop_length:
        count *= 2  # of two tokens, luck is all but everything
    return [speech(samples, offset=6000 + 3001 * clip) for clip in range(count)]


def clip_lengths(name: str) -> list[int]:
    """A multiple of the hop and not, within one window and in the third or fourth.

    Two tokens at least: the official InstanceNorm refuses one. Of a published config, in the second
    window: what a window sees of others is that of the small ones.
    """
    config = pair(name).config
    window = config.transformer.window_size * config.hop_length
    if name in SMALL_CONFIGS:
        return [
            config.hop_length + 1,
            window - 1,
            3 * window + config.hop_length,
            3 * window + 7,
        ]
    short = config.hop_length * 50
    return [short, window + 40 * config.hop_length - 7] if name in WHOLE else [short]


def check_tokens(oracle: Pair, tokens, exact_features) -> None:
    _, exact = oracle.official64.quantize(exact_features)
    levels = oracle.official64.quantizer_levels(exact_features)
    boundary = np.abs(levels - np.floor(levels) - 0.5).min(axis=-1)
    differs = np.asarray(tokens) != exact
    assert not np.any(differs & (boundary > ROUNDING_MARGIN))
    assert differs.sum() <= 1 + 0.01 * differs.size


@pytest.mark.parametrize("name", [*SMALL_CONFIGS, *PUBLISHED])
def test_encoding_and_decoding(name, request):
    if name in WHOLE:
        request.getfixturevalue("as_for_a_user")
    longest = max(clip_lengths(name))
    for samples in clip_lengths(name):
        ratios = [check_clip(name, audio, longest) for audio in clips(name, samples)]
        for result in ratios[0]:
            assert_within_twice_the_official_error(
                [clip[result] for clip in ratios], f"{result} of {samples} samples"
            )


def check_clip(name: str, audio: np.ndarray, longest: int) -> dict[str, float]:
    """The error ratios of the features and of the audio, decoded in both ways.

    Ours computes all clips at one length, so that it compiles once: clips are padded with rubbish,
    which is ignored.
    """
    oracle = pair(name)
    samples, frames = [audio.shape[1]], -(-longest // oracle.config.hop_length)
    exact = oracle.official64.encode_features(audio)
    tokens_of_clip = [exact.shape[1]]

    def padded(values, length, rubbish):
        widths = [(0, 0), (0, length - values.shape[1])] + [(0, 0)] * (values.ndim - 2)
        return np.pad(values, widths, constant_values=rubbish)

    def decoded(values, rubbish, decode):
        audio = decode(padded(values, frames, rubbish), lengths=tokens_of_clip)
        return audio[:, : values.shape[1] * oracle.config.hop_length]

    long_audio = padded(audio, longest, np.nan)
    ours = analyze(name)({"params": oracle.params}, long_audio, np.array(samples, np.int32))
    official = oracle.official.encode_features(audio)
    ratios = {"features": error_ratio(ours[:, : exact.shape[1]], official, exact)}

    quantized, tokens = oracle.official64.quantize(exact)
    ours = codec(name).encode(long_audio, samples)
    check_tokens(oracle, ours[:, : exact.shape[1]], exact)

    exact = oracle.official64.decode(quantized)
    official = oracle.official.decode(quantized)
    ours = decoded(quantized, np.nan, codec(name).decode_audio)
    ratios["audio from features"] = error_ratio(ours, official, exact)
    ours = decoded(tokens, -1, codec(name).decode)
    ratios["audio from tokens"] = error_ratio(ours, official, exact)
    return ratios


def torch_gradients(codec, function, x, weights) -> tuple[dict, np.ndarray]:
    """Gradients of sum(function(x) * weights): by file and tensor name, and for x."""
    codec.network.zero_grad()
    x = torch.from_numpy(np.array(x)).to(next(codec.network.parameters()).dtype).requires_grad_()
    y = function(x)
    (y * torch.from_numpy(np.array(weights)).to(y.dtype)).sum().backward()
    grads = {
        f"{part}.pt": {name: p.grad.numpy() for name, p in module.named_parameters()
                       if p.grad is not None}
        for part, module in codec.network.trainable_modules.items()
    }  # fmt: skip
    return grads, x.grad.numpy()


def relative(config, ours: dict, official: dict, exact: dict) -> tuple[np.ndarray, np.ndarray]:
    """Errors of ours and of the official gradients; each tensor by its own size.

    Some parameters have next to no effect by construction (gain and bias before a norm, a constant
    before a softmax): their gradient is mostly rounding, so a size below 1 % of the overall one
    counts as 1 %.
    """
    places = {
        path: place
        for path, place in official_places(config).items()
        if place.name in exact[place.file]
    }
    references = {p: place.to_ours(exact[place.file][place.name]) for p, place in places.items()}
    overall = rms(np.concatenate([reference.ravel() for reference in references.values()]))
    errors = ([], [])
    for path, place in places.items():
        scale = max(rms(references[path]), 0.01 * overall)
        theirs = place.to_ours(official[place.file][place.name])
        for error, value in zip(errors, (ours[path], theirs), strict=True):
            error.append((np.asarray(value, np.float64) - references[path]).ravel() / scale)
    return tuple(np.concatenate(error) for error in errors)


def check_gradients(name: str, method: str, samples: int) -> None:
    oracle = pair(name)
    call = {"analyze": "differentiable_encode", "decode": "differentiable_decode"}[method]
    config = oracle.config
    network = Network(config)

    @partial(jax.jit, compiler_options=QUICK_COMPILE)
    def gradients(params, x, weights):
        def loss(params, x):
            return jnp.sum(network.apply({"params": params}, x, method=method) * weights)

        return jax.grad(loss, argnums=(0, 1))(params, x)

    frames = -(-samples // config.hop_length)
    shapes = {"analyze": (1, frames, config.feature_dim), "decode": (1, frames * config.hop_length)}
    of_input, of_params = [], []
    for seed, audio in enumerate(clips(name, samples)):
        x = audio
        if method == "decode":
            x = oracle.official64.encode(audio)[0].astype(np.float32)
        weights = np.random.default_rng(seed).standard_normal(shapes[method], np.float32)
        official, official_x = torch_gradients(
            oracle.official, getattr(oracle.official, call), x, weights
        )
        exact, exact_x = torch_gradients(
            oracle.official64, getattr(oracle.official64, call), x, weights
        )
        ours, ours_x = gradients(oracle.params, jnp.asarray(x), weights)
        of_input.append(error_ratio(ours_x, official_x, exact_x))
        ours, official = relative(config, flatten(ours), official, exact)
        of_params.append(rms(ours) / rms(official))
    assert_within_twice_the_official_error(of_input, f"{method}: gradient of the input")
    assert_within_twice_the_official_error(of_params, f"{method}: gradients of the parameters")


# Each option where it has a part in the computation. What differs in numbers alone, or combines
# options otherwise, differentiates nothing else: its values are compared above.
DIFFERENTIATED = [
    ("baseline", "analyze"),
    ("gelu_norm_off_dilation", "analyze"),
    ("compress2_rotary", "analyze"),
    ("compress3", "analyze"),
    ("three_stages", "analyze"),
    ("baseline", "decode"),
    ("gelu_norm_off_dilation", "decode"),
    ("last_plain", "decode"),
    ("compress2_rotary", "decode"),
    ("compress3", "decode"),
    ("compress2_decoder_depth2", "decode"),
]


@pytest.mark.parametrize(("name", "method"), DIFFERENTIATED)
def test_gradients(name, method):
    config = pair(name).config
    check_gradients(name, method, config.transformer.window_size * config.hop_length * 2 + 5)


@pytest.mark.parametrize("method", ["analyze", "decode"])
def test_gradients_of_a_published_config(method):
    check_gradients("1kbps", method, 8000)  # with compression: its parts are those of all
