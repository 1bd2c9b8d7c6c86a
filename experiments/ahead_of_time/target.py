"""The machine that is compiled for: a GPU as XLA describes it, which need not be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
from jax.experimental import topologies

from l3ac_jax.errors import ArgumentError
from l3ac_jax.model.ops.backend import ACCELERATOR, use_lowerings
from l3ac_jax.system.compilation import PRODUCT_OPTIONS, known_options

__all__ = ["Target", "named_target"]

HERE = Path(__file__).parent
CPU = "cpu"


class Target:
    """A device to compile for, and how; its lowerings are always an accelerator's."""

    def __init__(self, device: Any, options: dict[str, Any]):
        self.name = device.device_kind
        self.options = options
        self._sharding = jax.sharding.SingleDeviceSharding(device)

    def there(self, shapes: Any) -> Any:
        """The same pytree of shapes, on the device."""
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._sharding), shapes
        )

    def lower(self, function: Any, arguments: Any, donated: tuple[int, ...]) -> jax.stages.Lowered:
        """What will be compiled."""
        with use_lowerings(ACCELERATOR):
            return jax.jit(function, donate_argnums=donated).lower(*self.there(arguments))


def named_target(name: str) -> Target:
    """A file of XLA's, `h200`, or `cpu`: this machine, compiling what a GPU is given.

    Raises ArgumentError without JAX's plugin for CUDA, or for a file that is no such description.
    """
    if name == CPU:
        return Target(jax.devices("cpu")[0], {})
    path = Path(name) if Path(name).suffix else HERE / f"{name}.txtpb"
    try:
        description = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join([CPU, *sorted(file.stem for file in HERE.glob("*.txtpb"))])
        raise ArgumentError(
            f"--target {name}: neither one of {known} nor a file that can be read: one of XLA's "
            "descriptions (.txtpb)"
        ) from error
    try:
        topology = topologies.get_topology_desc(
            platform="cuda", target_config=description, topology="1x1x1"
        )
    except NotImplementedError as error:
        raise ArgumentError(
            f"--target {name}: JAX cannot compile for CUDA here. Its plugin is needed, of the "
            f"version of JAX ({jax.__version__}), and no GPU: pip install "
            f"'jax[cuda13]=={jax.__version__}' (Linux)"
        ) from error
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ArgumentError(f"--target {name}: {path} describes no GPU: {reason}") from error
    return Target(topology.devices[0], known_options(PRODUCT_OPTIONS))
