"""L3AC, a lightweight neural audio codec with a single quantizer, in JAX.

codec = l3ac_jax.get_model("3kbps")
tokens = codec.encode(audio)
audio = codec.decode(tokens)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from l3ac_jax.codec import L3AC
    from l3ac_jax.pretrained import get_model, list_models

__all__ = ["L3AC", "get_model", "list_models"]


def __getattr__(name: str) -> Any:
    # JAX takes a second to import: `l3ac-jax --help` and the configuration do without it.
    if name in __all__:
        from l3ac_jax import pretrained

        return getattr(pretrained, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
