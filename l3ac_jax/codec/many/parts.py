"""A machine's share of a dataset of tokens: the codec that makes its parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from l3ac_jax.codec.many.batches import encode_files
from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.errors import WrongModelError
from l3ac_jax.model.precision import Precision
from l3ac_jax.system.compilation import keep_compiled_programs
from l3ac_jax.tokens.dataset.parts import Part, PartWork

__all__ = ["part_maker"]


def part_maker(
    work: PartWork, model: str, precision: Precision, gpu_memory: float | None
) -> Callable[[Part], int]:
    """Load a model, and give what makes parts with it: `PartWork.make`.

    Raises WrongModelError where `model` is another one on this machine; else as `get_model`.
    """
    keep_compiled_programs()
    codec = get_model(model, precision, gpu_memory)
    if codec.token_format != work.description.format:
        raise WrongModelError(f"{model}: is another model here than where the work was begun")
    return partial(work.make, encode=partial(encode_files, codec))
