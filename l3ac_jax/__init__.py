"""L3AC, a lightweight neural audio codec with a single quantizer, in JAX.

codec = l3ac_jax.get_model()
tokens = codec.encode(audio)
audio = codec.decode(tokens)

encoded = codec.encode_file("talk.flac")
l3ac_jax.save("talk.l3ac", encoded)
codec.decode_file(l3ac_jax.load("talk.l3ac"), "decoded.wav")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.codec.pretrained import get_model
    from l3ac_jax.system.compilation import keep_compiled_programs
    from l3ac_jax.tokens.bitstream.files import load, save
    from l3ac_jax.tokens.dataset.reader import open_tokens
    from l3ac_jax.tokens.format import EncodedAudio
    from l3ac_jax.weights.sources import list_models

__version__ = "0.1.0"  # written here alone: pyproject.toml reads it

# JAX takes a second to import: `l3ac-jax --help` and the configuration do without it.
_MODULES = {
    "EncodedAudio": "tokens.format",
    "L3AC": "codec.l3ac",
    "get_model": "codec.pretrained",
    "keep_compiled_programs": "system.compilation",
    "list_models": "weights.sources",
    "load": "tokens.bitstream.files",
    "open_tokens": "tokens.dataset.reader",
    "save": "tokens.bitstream.files",
}

__all__ = [
    "L3AC",
    "EncodedAudio",
    "__version__",
    "get_model",
    "keep_compiled_programs",
    "list_models",
    "load",
    "open_tokens",
    "save",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"l3ac_jax.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
