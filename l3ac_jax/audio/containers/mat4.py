"""Old matrices of MATLAB and GNU Octave (MAT 4): a sample rate, and a row for each channel."""

from __future__ import annotations

import struct
from typing import BinaryIO, Literal

from l3ac_jax.audio.containers.layout import Layout
from l3ac_jax.audio.containers.pieces import Piece
from l3ac_jax.audio.containers.sized import SizedData, check_size

__all__ = ["lay_out_mat4"]

HEAD = 20  # bytes of a matrix: type, rows, columns, whether it is complex, length of its name
WIDTHS = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}  # bytes of a value, by the type's second digit


def lay_out_mat4(source: BinaryIO, start: int, end: int) -> Layout | None:
    """None for what does not begin with a sample rate and go on with samples."""
    source.seek(start)
    data = source.read(256)
    order: Literal["big", "little"] = "big" if data[:4] == b"\0\0\x03\xe8" else "little"
    name = int.from_bytes(data[16:20], order)
    matrix = HEAD + name + 8
    if data[HEAD : HEAD + 11] != b"samplerate\0" or len(data) < matrix + HEAD:
        return None
    (rate,) = struct.unpack(">d" if order == "big" else "<d", data[HEAD + name : matrix])
    kind, channels, columns, _, name = (
        int.from_bytes(data[i : i + 4], order) for i in range(matrix, matrix + HEAD, 4)
    )
    width = channels * WIDTHS.get(kind // 10 % 10, 0)
    audio = matrix + HEAD + name
    if not width or not 0 < rate < 1e9 or start + audio > end or audio > len(data):
        return None

    def pieces(actual: int) -> list[Piece]:
        count = (actual // width).to_bytes(4, order)
        head = data[: matrix + 8] + count + data[matrix + 12 : audio]
        return [head, (start + audio, start + audio + actual // width * width)]

    size = SizedData(start + audio, columns * width or None, rate * width, lambda _: False, pieces)
    return check_size(source, start, end, size)
