"""No public name without a docstring: a build of the site ends where one is missing.

Public is what a module of the package lists in `__all__`, and the public methods and properties
of such a class. A method that a base class has described need not be described again.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

PACKAGE = "l3ac_jax"
# Of Flax: called where a module is bound, by nobody else.
OF_A_LIBRARY = frozenset({"setup"})


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """End the build before it begins where a docstring is missing."""
    from mkdocs.exceptions import PluginError

    if missing := [name for module in modules() for name in undocumented(module)]:
        raise PluginError("without a docstring:\n" + "\n".join(missing))
    return config


def modules() -> Iterator[ModuleType]:
    """Each module of the package."""
    package = import_module(PACKAGE)
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        if not found.name.endswith("__main__"):
            yield import_module(found.name)


def undocumented(module: ModuleType) -> list[str]:
    """The module's public names, and itself, where they have no docstring."""
    missing = [] if module.__doc__ else [module.__name__]
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        # not the types of arrays, whose class belongs to jaxtyping
        ours = getattr(value, "__module__", "").startswith(PACKAGE)
        if ours and (inspect.isclass(value) or inspect.isroutine(value)):
            place = f"{module.__name__}.{name}"
            missing += [] if value.__doc__ else [place]
            missing += [f"{place}.{member}" for member in _undocumented_members(value)]
    return missing


def _undocumented_members(value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        return
    for name, member in vars(value).items():
        if name.startswith("_") or name in OF_A_LIBRARY:
            continue
        method = isinstance(member, property | cached_property | classmethod | staticmethod)
        told = any(vars(kind)[name].__doc__ for kind in value.__mro__ if name in vars(kind))
        if (method or inspect.isfunction(member)) and not told:
            yield name
