"""The devices of a run: one mesh over all of them, of one process or of several.

Parameters are the same on every device, the clips of a batch are divided among them. The step is
the same function for one device and for many: XLA adds the sums over devices.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from l3ac_jax.errors import ArgumentError, ConfigError

AXIS = "clips"

# For processes that no cluster manager started; the first one is a variable of JAX itself.
COORDINATOR, PROCESSES, PROCESS = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


def connect_processes(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> None:
    """Join the other processes of a run (`jax.distributed`), before JAX is first used.

    `coordinator` is "host:port" of process 0. What is not given comes from the environment:
    $JAX_COORDINATOR_ADDRESS, $JAX_NUM_PROCESSES, $JAX_PROCESS_ID, or what Slurm, Open MPI or a
    cloud's manager says. Raises ArgumentError where that does not make a complete description.
    """
    count, index = os.environ.get(PROCESSES), os.environ.get(PROCESS)
    try:
        processes = int(count) if processes is None and count else processes
        process = int(index) if process is None and index else process
    except ValueError:
        raise ArgumentError(
            f"${PROCESSES} and ${PROCESS} must be numbers: {count!r}, {index!r}"
        ) from None
    if processes is not None and process is not None and not 0 <= process < processes:
        raise ArgumentError(
            f"of {processes} processes, this one must be 0 to {processes - 1}: {process}"
        )
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise ArgumentError(
            f"the processes could not be connected: {error} (give --coordinator HOST:PORT, "
            f"--processes N and --process I, or set ${COORDINATOR}, ${PROCESSES} and ${PROCESS})"
        ) from error


@dataclass(frozen=True)
class Devices:
    """All devices of a run, in one row."""

    mesh: Mesh

    @property
    def count(self) -> int:
        return self.mesh.size

    @cached_property
    def replicated(self) -> NamedSharding:
        """Everything on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @cached_property
    def divided(self) -> NamedSharding:
        """Each device its share of the first axis."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    def check_batch(self, batch_size: int, micro_batches: int) -> None:
        """Raise ConfigError if a batch cannot be divided evenly."""
        if batch_size % (self.count * micro_batches):
            raise ConfigError(
                f"data.batch_size is {batch_size}, which {self.count} devices with "
                f"training.micro_batches = {micro_batches} cannot share evenly"
            )

    def divide(self, batch: PyTree) -> Any:
        """A batch on the devices, from this process's part of it."""
        return jax.tree.map(
            lambda part: jax.make_array_from_process_local_data(self.divided, part), batch
        )

    def divide_whole(self, batch: PyTree) -> Any:
        """A batch on the devices, where every process has all of it."""

        def place(whole: np.ndarray):
            return jax.make_array_from_callback(whole.shape, self.divided, whole.__getitem__)

        return jax.tree.map(place, batch)


def all_devices() -> Devices:
    """Every device of every process."""
    return Devices(Mesh(np.array(jax.devices()), (AXIS,)))
