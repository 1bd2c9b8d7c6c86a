"""What the commands of `l3ac-jax` share: arguments, the model, messages.

What needs JAX is imported inside the functions, so that help and mistakes answer at once.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from l3ac_jax.config import NAMED, PUBLISHED
from l3ac_jax.errors import WrongModelError
from l3ac_jax.tokens.bitstream.raw import TokenStreamHeader
from l3ac_jax.tokens.format import EncodedAudio
from l3ac_jax.weights.hub import missing_weights, weights_folder
from l3ac_jax.weights.repositories import PREFIX

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC

__all__ = [
    "DEFAULT_DEVICE",
    "STANDARD",
    "Device",
    "DeviceOptions",
    "Input",
    "Model",
    "ModelOrNone",
    "Output",
    "Overwrite",
    "loaded",
    "note",
    "recorded_model",
]

STANDARD = Path("-")  # standard input or output

Input = Annotated[Path, tyro.conf.arg(metavar="IN")]
Output = Annotated[Path, tyro.conf.arg(metavar="OUT")]
Model = Annotated[str, tyro.conf.arg(metavar="NAME_OR_FOLDER")]
ModelOrNone = Annotated[str | None, tyro.conf.arg(metavar="NAME_OR_FOLDER")]
Overwrite = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class DeviceOptions:
    """How a GPU is used, where there is one."""

    precision: Literal["exact", "fast"] = "exact"
    """fast: quicker on a GPU, with other tokens in some frames (see docs/gpu.md)."""
    gpu_memory: Annotated[float | None, tyro.conf.arg(metavar="SHARE")] = None
    """Share of the GPU's memory that may be taken, 0 to 1; unless given, what is needed."""


Device = Annotated[DeviceOptions, tyro.conf.OmitArgPrefixes]
DEFAULT_DEVICE = DeviceOptions()


def note(line: str) -> None:
    """Tell the user something: standard output is for results."""
    print(line, file=sys.stderr)


@contextlib.contextmanager
def loaded(model: str, device: DeviceOptions) -> Iterator[L3AC]:
    """The codec, with what it compiles kept between runs and reported while it compiles."""
    if model in PUBLISHED and missing_weights(model):
        note(f"downloading the weights of {model} into {weights_folder(model)}")
    from l3ac_jax.codec.pretrained import get_model
    from l3ac_jax.system.compilation import CompilationNotice, keep_compiled_programs

    keep_compiled_programs()
    codec = get_model(model, device.precision, device.gpu_memory)
    notice = CompilationNotice(lambda line: note(f"{line} (once: the result is kept)"))
    codec.on_compile = notice
    try:
        yield codec
    finally:
        notice.close()


def recorded_model(name: str, encoded: EncodedAudio | TokenStreamHeader) -> str:
    """The model that encoded audio names, if it is here. Raises WrongModelError."""
    # A file that somebody sent does not decide what is downloaded.
    remote = encoded.model.startswith(PREFIX)
    if remote or (encoded.model not in NAMED and not Path(encoded.model).exists()):
        raise WrongModelError(
            f"{name}: its tokens were made with {encoded.model}, which is not here: give --model"
        )
    return encoded.model
