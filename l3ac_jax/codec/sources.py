"""Recordings that are given as a path, as a file object or as bytes."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from l3ac_jax.errors import ArgumentError, AudioError, SpoolError

__all__ = ["AudioSource", "opened"]

AudioSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


@contextlib.contextmanager
def opened(source: AudioSource) -> Iterator[tuple[str, BinaryIO | None]]:
    """What to call it in messages, and a file to read from its start; None for a path.

    A file object is read from where it stands, and need not be able to seek. Raises ArgumentError
    for what is none, AudioError for one that is empty or cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        yield os.fspath(source), None
    elif isinstance(source, bytes | bytearray | memoryview):
        yield "the given bytes", _not_empty(io.BytesIO(source), "the given bytes")
    elif callable(getattr(source, "read", None)):
        name = _name(source)
        # Audio formats are not read from first to last, and of a descriptor the file object may
        # have read ahead, or unpacked what it gives: a copy is safe for all of them.
        with tempfile.TemporaryFile() as copy:
            _copy(source, copy, name)
            yield name, _not_empty(copy, name)
    else:
        raise ArgumentError(
            f"audio is read from a path, a binary file object or bytes, not from a "
            f"{type(source).__name__}: encode takes arrays"
        )


def _name(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "the given file object"


def _copy(source: BinaryIO, target: BinaryIO, name: str) -> None:
    if getattr(source, "closed", False):
        raise ArgumentError(f"{name}: is closed")
    try:
        while block := source.read(shutil.COPY_BUFSIZE):  # pyright: ignore
            if not isinstance(block, bytes | bytearray | memoryview):
                raise ArgumentError(f"{name}: is open as text: open it in binary mode ('rb')")
            try:
                target.write(block)
            except OSError as error:
                raise _cannot_copy(name, error) from error
    except OSError as error:
        raise AudioError(f"{name}: cannot be read: {error.strerror or error}") from error


def _not_empty(file: BinaryIO, name: str) -> BinaryIO:
    try:
        size = file.seek(0, os.SEEK_END)  # which also writes what is buffered
    except OSError as error:
        raise _cannot_copy(name, error) from error
    if size == 0:
        raise AudioError(f"{name}: is empty")
    file.seek(0)
    return file


def _cannot_copy(name: str, error: OSError) -> SpoolError:
    return SpoolError(
        f"{tempfile.gettempdir()}: cannot hold a copy of {name} "
        f"({error.strerror or error}): TMPDIR names another folder"
    )
