"""State dicts of torch.save, read without torch and without executing anything in the file.

Such a file is a zip archive: `data.pkl` describes the tensors; `data/0`, `data/1`, ... hold their
storages, uncompressed.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from l3ac_jax.errors import WeightsError
from l3ac_jax.official.state_dict_pickle import (
    RefusedError,
    StorageRecord,
    TensorRecord,
    describe_state_dict,
)

__all__ = ["read_state_dict"]


def read_state_dict(path: str | os.PathLike[str], entry: str | None = None) -> dict[str, NDArray]:
    """The tensors of a state dict that torch.save wrote, by name, in the file's order.

    With `entry`, the file is a checkpoint: a dict that has the state dict under this name.

    The arrays are read-only views of the file's storages: strides are kept, and tensors that share
    a storage share memory. An expanded tensor can thus be far larger than the file; look at its
    shape before copying it. bfloat16 comes as `ml_dtypes.bfloat16`. Raises WeightsError for files
    that cannot be read, are damaged, hold anything but tensors, or would run code.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            _check_magic(magic)
            content = magic + file.read()
        return _read_archive(content, entry)
    except RefusedError as error:
        reason = str(error)
    except _DAMAGE as error:
        reason = f"damaged: {error or type(error).__name__}"
    except OSError as error:
        reason = error.strerror or str(error)
    raise WeightsError(f"{path}: {reason}")


# What zipfile, pickletools and NumPy raise for nonsense.
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def _check_magic(magic: bytes) -> None:
    if magic == b"PK\x03\x04":
        return
    if not magic:
        raise RefusedError("empty")
    if magic[:1] == b"\x80":
        raise RefusedError(
            "a bare pickle or the format of torch before 1.6, which would have to be executed; "
            "load it with torch where you trust it, and torch.save its state dict again"
        )
    raise RefusedError("not a file of torch.save (those are zip archives)")


def _read_archive(content: bytes, entry: str | None) -> dict[str, NDArray]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        archive = _Archive(file, budget=len(content))
        tensors = describe_state_dict(archive.read("data.pkl"), entry)
        if archive.holds("byteorder") and archive.read("byteorder") != b"little":
            raise RefusedError("not written in little-endian byte order")
        # Tensors whose storages agree in key, type and size share it.
        storages = {
            storage: _read_storage(archive, storage)
            for storage in {tensor.storage: None for tensor in tensors.values()}
        }
    return {name: _view(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}


def _read_storage(archive: _Archive, storage: StorageRecord) -> NDArray:
    raw = archive.read(f"data/{storage.key}")
    if len(raw) != storage.size * storage.dtype.itemsize:
        raise RefusedError(
            f"damaged: storage {storage.key} has {len(raw)} bytes, not {storage.size} elements "
            f"of {storage.dtype}"
        )
    return np.frombuffer(raw, storage.dtype)


def _view(tensor: TensorRecord, elements: NDArray) -> NDArray:
    """The tensor in its storage's elements."""
    if 0 in tensor.shape:
        return np.empty(tensor.shape, elements.dtype)
    # The stride of an axis of size one is never used and can be anything.
    strides = [
        stride if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    ]
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, strides, strict=True))
    if tensor.offset + last >= len(elements):
        raise RefusedError(f"damaged: a tensor reaches beyond its storage {tensor.storage.key}")
    return np.lib.stride_tricks.as_strided(
        elements[tensor.offset :],
        tensor.shape,
        [stride * elements.itemsize for stride in strides],
        writeable=False,
    )


class _Archive:
    """The entries of the one folder of a zip file, read within a budget of bytes."""

    def __init__(self, file: zipfile.ZipFile, budget: int):
        self._file = file
        self._budget = budget
        self._names = set(file.namelist())
        paths = [name.split("/") for name in self._names]
        folders = [path[0] for path in paths if path[1:] == ["data.pkl"]]
        if len(folders) != 1:
            raise RefusedError("not a file of torch.save: its archive has no data.pkl")
        self._folder = folders[0]
        if self.holds("constants.pkl"):
            raise RefusedError("a TorchScript archive, not a state dict")

    def holds(self, name: str) -> bool:
        return f"{self._folder}/{name}" in self._names

    def read(self, name: str) -> bytes:
        """An entry's content; zipfile checks its checksum."""
        entry = self._file.getinfo(f"{self._folder}/{name}")
        # Entries can overlap and claim any size, but honest ones add up to no more than the file.
        self._budget -= entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or self._budget < 0:
            raise RefusedError(f"damaged: {name} is compressed, or larger than the file")
        return self._file.read(entry)
