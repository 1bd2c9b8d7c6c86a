"""Options of commands whose work several machines can share, and how the work is told of."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import tyro

from l3ac_jax.errors import ArgumentError
from l3ac_jax.system.shares import Share

__all__ = ["ClusterOptions", "every_minute"]

SECONDS = 60.0


@dataclass(frozen=True)
class ClusterOptions:
    """Several machines (docs/cluster.md): to the same bytes as one."""

    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Do the I-th of N shares, beside other calls that do theirs, and then --merge."""
    merge: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Put together what the calls with --shard have made."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Work on this Ray cluster: HOST:PORT, auto (this machine is in it), or local (start one)."""

    def share(self) -> Share | None:
        """That of --shard.

        Raises ArgumentError for options that contradict each other, or without a cluster for --ray,
        and MissingPackageError.
        """
        given = [
            name
            for name, is_given in (
                ("--shard", self.shard is not None),
                ("--merge", self.merge),
                ("--ray", self.ray is not None),
            )
            if is_given
        ]
        if len(given) > 1:
            raise ArgumentError(f"{' and '.join(given)}: one of them at a time")
        if self.ray is not None:
            from l3ac_jax.system.cluster import check_cluster

            check_cluster(self.ray)
        return None if self.shard is None else Share.parse(self.shard)


def every_minute(say: Callable[[], str]) -> Callable[[], None]:
    """Call it often: it prints a line at times, where no progress bar can be seen."""
    last = time.monotonic()

    def tell() -> None:
        nonlocal last
        if not sys.stderr.isatty() and time.monotonic() - last >= SECONDS:
            last = time.monotonic()
            print(say(), file=sys.stderr, flush=True)

    return tell
