"""The codec whose tokens a language model speaks."""

from __future__ import annotations

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.errors import WrongModelError
from l3ac_jax.generation.folder import TrainedModel

__all__ = ["codec_of", "step_by_step"]


def codec_of(trained: TrainedModel, name: str | None = None) -> L3AC:
    """The codec by the name that its tokens were written under, or by another.

    Raises WrongModelError for one of other weights, and what `get_model` raises.
    """
    if trained.levels != trained.codec.format.levels:
        raise WrongModelError(
            f"the language model speaks {len(trained.levels)} of the "
            f"{len(trained.codec.format.levels)} dimensions of its codec's tokens "
            "(data.dimensions): there is nothing to decode"
        )
    name = name or trained.codec.model
    codec = get_model(name)
    if codec.token_format != trained.codec.format:
        raise WrongModelError(
            f"{name}: is not the codec whose tokens the language model was trained on: its "
            "configuration or weights are others; name it with --codec"
        )
    return codec


def step_by_step(codec: L3AC) -> L3AC:
    """The codec itself if its decoder streams; else one that norms over the past alone."""
    if codec.config.decoder.norm_statistics != "clip":
        return codec
    decoder = codec.config.decoder.model_copy(update={"norm_statistics": "running"})
    config = codec.config.model_copy(update={"decoder": decoder})
    return L3AC(config, codec.params, codec.name)
