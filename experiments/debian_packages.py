"""Recordings out of Debian packages, which apt-get downloads."""

from __future__ import annotations

import subprocess
from pathlib import Path

from l3ac_jax.errors import SourceError


def unpack(package: str, folder: Path) -> None:
    """Download and unpack a Debian package to FOLDER/PACKAGE, once. Raises SourceError."""
    target = folder / package
    if target.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "download", "-qq", package], folder)
    (archive,) = folder.glob(f"{package}_*.deb")
    part = folder / f"{package}.part"
    _run(["dpkg-deb", "-x", archive.name, part.name], folder)
    archive.unlink()
    part.rename(target)


def _run(command: list[str], folder: Path) -> None:
    """Run a program in a folder. Raises SourceError if it is not there or fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        raise SourceError(
            f"{command[0]}: not installed: packages are downloaded on Debian and what is made of it"
        ) from None
    if done.returncode:
        *_, reason = ["no message", *done.stderr.strip().splitlines()]
        raise SourceError(f"{' '.join(command)}: failed ({done.returncode}): {reason}")
