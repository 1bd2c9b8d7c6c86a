"""The whole network against the official code, by one criterion.

Against the official code in float64, our float32 error (root mean square) is at most twice the
official float32 one. Tokens agree except where the float64 value lies within 1e-4 of a boundary.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from l3ac_jax.codec import L3AC
from l3ac_jax.config import PUBLISHED
from l3ac_jax.model.network import Network
from l3ac_jax.params import flatten
from l3ac_jax.torch_names import official_places
from tests.model.oracle import QUICK_COMPILE, Pair, pair, rms, speech
from tests.small_configs import SMALL_CONFIGS

ROUNDING_MARGIN = 1e-4


@cache
def codec(name: str) -> L3AC:
    oracle = pair(name)
    return L3AC(oracle.config, oracle.params, name)


@cache
def jitted(name: str, method: str):
    return jax.jit(partial(Network(pair(name).config).apply, method=method))


def assert_within_twice_the_official_error(ours, official, exact, what: str) -> None:
    limit = 2 * rms(np.asarray(official, np.float64) - exact)
    error = rms(np.asarray(ours, np.float64) - exact)
    assert error <= limit, f"{what}: error {error:.2e}, twice the official one is {limit:.2e}"


def clip_lengths(name: str) -> list[int]:
    """A multiple of the hop and not, within one window and beyond three.

    Two tokens at least: the official InstanceNorm refuses one.
    """
    config = pair(name).config
    window = config.transformer.window_size * config.hop_length
    if name in SMALL_CONFIGS:
        return [
            config.hop_length + 1,
            window // 2,
            window - 1,
            3 * window + config.hop_length,
            3 * window + 7,
        ]
    return [config.hop_length * 50, 3 * window + 1001]


def check_tokens(oracle: Pair, tokens, exact_features) -> None:
    _, exact = oracle.official64.quantize(exact_features)
    levels = oracle.official64.quantizer_levels(exact_features)
    boundary = np.abs(levels - np.floor(levels) - 0.5).min(axis=-1)
    differs = np.asarray(tokens) != exact
    assert not np.any(differs & (boundary > ROUNDING_MARGIN))
    assert differs.mean() < 0.01


@pytest.mark.parametrize("name", [*SMALL_CONFIGS, *PUBLISHED])
def test_encoding_and_decoding(name):
    oracle = pair(name)
    longest = max(clip_lengths(name))
    for samples in clip_lengths(name):
        audio = speech(samples)
        exact = oracle.official64.encode_features(audio)
        official = oracle.official.encode_features(audio)
        padded = jnp.pad(audio, [(0, 0), (0, longest - samples)], constant_values=jnp.nan)
        analyze = jitted(name, "analyze")
        ours = analyze({"params": oracle.params}, padded, jnp.array([samples]))
        ours = ours[:, : exact.shape[1]]
        assert_within_twice_the_official_error(ours, official, exact, f"features of {samples}")

        quantized, tokens = oracle.official64.quantize(exact)
        check_tokens(oracle, codec(name).encode(audio), exact)

        exact_audio = oracle.official64.decode(quantized)
        official_audio = oracle.official.decode(quantized)
        for way, decoded in (
            ("features", codec(name).decode_audio(quantized)),
            ("tokens", codec(name).decode(tokens)),
        ):
            what = f"audio of {samples} from {way}"
            assert_within_twice_the_official_error(decoded, official_audio, exact_audio, what)


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
    audio = speech(samples)
    quantized, _ = oracle.official64.encode(audio)
    x = audio if method == "analyze" else quantized.astype(np.float32)
    call = {"analyze": "differentiable_encode", "decode": "differentiable_decode"}[method]

    network = Network(oracle.config)
    shape = jax.eval_shape(
        partial(network.apply, method=method), {"params": oracle.params}, jnp.asarray(x)
    ).shape
    weights = np.random.default_rng(0).standard_normal(shape, np.float32)

    @partial(jax.jit, compiler_options=QUICK_COMPILE if name in SMALL_CONFIGS else None)
    def gradients(params, x):
        def loss(params, x):
            return jnp.sum(network.apply({"params": params}, x, method=method) * weights)

        return jax.grad(loss, argnums=(0, 1))(params, x)

    ours, ours_x = gradients(oracle.params, jnp.asarray(x))
    official, official_x = torch_gradients(
        oracle.official, getattr(oracle.official, call), x, weights
    )
    exact, exact_x = torch_gradients(
        oracle.official64, getattr(oracle.official64, call), x, weights
    )
    assert_within_twice_the_official_error(ours_x, official_x, exact_x, f"{method}: input gradient")
    of_ours, of_official = relative(oracle.config, flatten(ours), official, exact)
    assert rms(of_ours) <= 2 * rms(of_official), (rms(of_ours), rms(of_official))


@pytest.mark.parametrize("method", ["analyze", "decode"])
@pytest.mark.parametrize("name", SMALL_CONFIGS)
def test_gradients(name, method):
    config = pair(name).config
    check_gradients(name, method, config.transformer.window_size * config.hop_length * 2 + 5)


@pytest.mark.parametrize("method", ["analyze", "decode"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_gradients_of_published_configs(name, method):
    check_gradients(name, method, 8000)
