"""The folder of a run: of one kind of training, and of one process at a time."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from l3ac_jax.errors import ConfigError
from l3ac_jax.system.locks import FolderInUseError, exclusive

__all__ = ["RunKind"]


@dataclass(frozen=True)
class RunKind:
    """Whose folders are known by `mark`, or before that is there by the file `lock`.

    `name` is what messages call it. No two kinds share a lock: neither goes on in the other's.
    """

    name: str
    lock: str
    mark: str

    def check(self, folder: Path) -> None:
        """Raise ConfigError for a folder with other things in it."""
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: exists and is not a folder")
        begun = (folder / self.mark).exists() or (folder / self.lock).exists()
        if folder.is_dir() and any(folder.iterdir()) and not begun:
            raise ConfigError(f"{folder}: is no {self.name}, and not empty: give a new folder")

    def claim(self, folder: Path, stack: ExitStack) -> None:
        """Make it, and let no other process train in it. Raises ConfigError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(folder / self.lock))
        except FolderInUseError:
            raise ConfigError(f"{folder}: another process is training here") from None
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"{folder}: cannot be written to: {reason}") from None
