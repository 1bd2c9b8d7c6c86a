"""Files behind URLs (s3://, gs://, memory://...), through fsspec: whole files, there and back.

Nothing here is read or written in place: what works on local files works on copies of whole files,
and a file is seen under its name when all of it has been taken. That is what object stores promise
(a put, or the end of an upload in parts); file systems that are reached by URL may promise less.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

from l3ac_jax.errors import ArgumentError, MissingPackageError, SourceError, UserError
from l3ac_jax.system.packages import needs_extra

__all__ = ["RemoteFolder", "as_local", "fetched_file", "is_url", "said"]

LOCAL = ("file://", "local://")
# What to install for the usual schemes: fsspec's own message names no version and no extra.
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs"}


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether it names what is not reached as a file of this machine."""
    return isinstance(place, str) and "://" in place and not place.startswith(LOCAL)


def as_local(place: str | os.PathLike[str]) -> Path:
    """The path that is meant, also by file://."""
    if isinstance(place, str):
        for scheme in LOCAL:
            place = place.removeprefix(scheme)
    return Path(place)


class RemoteFolder:
    """A folder behind a URL. Only the URL is pickled."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return self.url

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__ = dict(state)

    @property
    def fs(self) -> Any:
        """fsspec's file system."""
        return self._connected[0]

    @property
    def root(self) -> str:
        """The folder as the file system calls it."""
        return self._connected[1]

    def path(self, name: str) -> str:
        """A file in it as the file system calls it."""
        return f"{self.root}/{name}"

    def get(self, names: Sequence[str], targets: Sequence[Path]) -> None:
        """Copy files here, several at a time where the file system can. Raises SourceError."""
        with said(self.url, "read", SourceError):
            self.fs.get([self.path(name) for name in names], [str(target) for target in targets])

    @cached_property
    def _connected(self) -> tuple[Any, str]:
        with needs_extra("cluster", f"{self.url}: a URL"):
            from fsspec.core import url_to_fs
        scheme = self.url.partition("://")[0]
        try:
            # Listings are asked for when they are needed, and other machines change them.
            fs, root = url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            package = PACKAGES.get(scheme)
            hint = f": pip install {package}" if package else ""
            raise MissingPackageError(
                f"{self.url}: needs a package that is not installed ({error}){hint}"
            ) from error
        except ValueError as error:
            raise ArgumentError(f"{self.url}: {error}") from error
        return fs, root.rstrip("/")


@contextlib.contextmanager
def said(url: str, what: str, kind: type[UserError]) -> Iterator[None]:
    """Whatever a file system's package raises becomes an error that says which URL it was.

    Each has classes of its own for refused credentials and broken connections, so all are taken.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise kind(f"{url}: cannot be {what}: {reason}") from error


def fetched_file(url: str) -> BinaryIO:
    """A copy of a file, open, which is gone when it is closed. Raises SourceError."""
    folder, _, name = url.rpartition("/")
    copy = tempfile.NamedTemporaryFile(prefix="l3ac_jax_")  # noqa: SIM115
    try:
        remote = RemoteFolder(folder)
        with said(url, "read", SourceError):
            remote.fs.get_file(remote.path(name), copy.name)  # s3fs takes nothing but a path
    except BaseException:
        copy.close()
        raise
    return cast(BinaryIO, copy)
