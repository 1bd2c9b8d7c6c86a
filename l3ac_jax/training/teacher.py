"""A model that another one learns from: the encoder's half of it, which stays as it is.

What is learnt are the values that its quantizer rounds. A causal network can so be told what one
that hears the whole clip makes of it (FocalCodec-Stream, arXiv 2509.16195, learns in this way).
"""

from typing import Any

from l3ac_jax.codec.streaming.streams import OF_ENCODER
from l3ac_jax.config import CodecConfig
from l3ac_jax.errors import ConfigError
from l3ac_jax.model.folding import fold
from l3ac_jax.weights.sources import load_params


def load_teacher(model: str, student: CodecConfig) -> tuple[CodecConfig, dict[str, Any]]:
    """Its configuration, and the folded parameters (NumPy) that lead to the quantizer's values.

    `model` is what `get_model` takes. Raises ConfigError for one whose values are not those of the
    student's tokens, and what `load_params` raises.
    """
    config, params = load_params(model)
    if problems := _differences(config, student):
        raise ConfigError(
            f"training.teacher: {model}: its tokens are not those of the configuration, as they "
            f"have to be: {'; '.join(problems)}"
        )
    return config, fold({name: params[name] for name in OF_ENCODER if name in params}, config)


def _differences(teacher: CodecConfig, student: CodecConfig) -> list[str]:
    facts = {
        "sample rate": (teacher.sample_rate, student.sample_rate),
        "hop in samples": (teacher.hop_length, student.hop_length),
        "levels": (teacher.quantizer.levels, student.quantizer.levels),
    }
    return [
        f"{name} {theirs}, not {ours}" for name, (theirs, ours) in facts.items() if theirs != ours
    ]
