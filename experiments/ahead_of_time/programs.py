"""What is compiled: a configuration's functions, and shapes of their arguments. No values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from l3ac_jax.codec.buckets import bucket_tokens
from l3ac_jax.codec.padded import PaddedClips
from l3ac_jax.codec.programs import NetworkPrograms
from l3ac_jax.config import CodecConfig, ExperimentConfig
from l3ac_jax.config.stages import Stage
from l3ac_jax.model.folding import folded_params
from l3ac_jax.model.params import expected_params, unflatten
from l3ac_jax.model.precision import Precision
from l3ac_jax.training.hyperparameters import make_hyperparameters
from l3ac_jax.training.objective import loss_weights
from l3ac_jax.training.step import make_steps
from l3ac_jax.training.teacher import load_teacher
from l3ac_jax.training.whisper import MEL_BANDS, WhisperEncoder

__all__ = ["ToCompile", "codec_programs", "training_programs"]

# Clips of the evaluation that are not cut: how long they are is not in the configuration.
WHOLE_CLIP_SECONDS = 10.0


@dataclass(frozen=True)
class ToCompile:
    """A program before it is one."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    """pytrees of shapes"""
    donated: tuple[int, ...] = ()
    """arguments whose memory holds the results"""


def codec_programs(
    config: CodecConfig, precision: Precision, clips: int, seconds: float
) -> Iterator[ToCompile]:
    """Encoding and decoding, as `encode` and `decode` of so many clips of so many seconds."""
    tokens = -(-round(seconds * config.sample_rate) // config.hop_length)
    frames = bucket_tokens(tokens, config.frame_rate)
    folded = jax.eval_shape(partial(folded_params, config=config), _params(config))
    padded = PaddedClips(config, dict, NetworkPrograms(config, precision))
    lengths = _shape(clips, dtype=jnp.int32)
    audio = _shape(clips, frames * config.hop_length)
    features = _shape(clips, frames, config.feature_dim)
    yield ToCompile("encode", padded.encoder.stated, (folded, audio, lengths))
    yield ToCompile("decode", padded.decoder.stated, (folded, features, lengths))


def training_programs(config: ExperimentConfig, stage: Stage) -> Iterator[ToCompile]:
    """The steps of a stage, and the evaluation beside them. Raises what `load_teacher` raises."""
    model, training, data = config.model, stage.training, stage.data
    network = teacher = None
    if "distillation" in stage.terms:
        assert training.teacher is not None  # as configurations are checked
        network, teacher = load_teacher(training.teacher, model)
    steps = make_steps(model, training, stage.terms, network)
    total = stage.end - stage.begin
    values = _shapes(make_hyperparameters(model, training, total, stage.begin))
    key = jax.eval_shape(jax.random.key, 0)
    state = jax.eval_shape(steps.init, key, values, _params(model))
    batch = _batch(data.batch_size, data.seconds, model.sample_rate)
    whisper = _whisper(key) if "perceptual" in stage.terms else None
    inputs = (state, batch, whisper, values, _shapes(teacher))
    yield ToCompile("generator", steps.train_generator, inputs, (0,))
    if steps.objective.adversarial:
        yield ToCompile("discriminators", steps.train_discriminators, (state, batch, values), (0,))
    if data.evaluation is None:
        return
    seconds = data.evaluation.seconds or WHOLE_CLIP_SECONDS
    heard = _batch(training.evaluation.batch_size, seconds, model.sample_rate)
    weights = _shapes(loss_weights(training.loss))
    arguments = (_params(model), whisper, heard, weights)
    yield ToCompile("evaluation", steps.objective.of_evaluation, arguments)


def _params(config: CodecConfig) -> dict:
    return unflatten({path: _shape(*leaf.shape) for path, leaf in expected_params(config).items()})


def _whisper(key: Any) -> dict:
    return dict(jax.eval_shape(WhisperEncoder().init, key, _shape(1, 2, MEL_BANDS))["params"])


def _batch(clips: int, seconds: float, sample_rate: int) -> dict:
    audio = _shape(clips, round(seconds * sample_rate))
    return {"audio": audio, "lengths": _shape(clips, dtype=jnp.int32)}


def _shape(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: _shape(*jnp.shape(x), dtype=jnp.result_type(x)), tree)
