"""Where audio goes that comes block by block: a file, or raw samples on standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def opened(
    output: str, sample_rate: int, samples: int, overwrite: bool
) -> Iterator[Callable[[np.ndarray], None]]:
    """What writes (1, t) audio as it comes: to a file, `samples` in all, or to `-`."""
    if output == "-":
        yield _write_raw
        return
    from l3ac_jax.audio.writing import check_audio_output, open_writer

    check_audio_output(output, 1, sample_rate, "PCM_16", overwrite)
    with open_writer(output, 1, sample_rate, samples, "PCM_16", overwrite) as writer:
        yield writer.write


def _write_raw(audio: np.ndarray) -> None:
    import numpy as np

    values = np.round(np.clip(audio[0], -1, 1) * 32767).astype("<i2")
    sys.stdout.buffer.write(values.tobytes())
    sys.stdout.buffer.flush()
