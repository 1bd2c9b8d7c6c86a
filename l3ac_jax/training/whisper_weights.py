"""The encoder of Whisper tiny.en: from OpenAI's .pt file, a safetensors file, or the hub.

Names are OpenAI's or Hugging Face's, whichever the file has; what it holds beside the encoder is
ignored. Nothing in a file is executed, and reading needs no torch.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from l3ac_jax.errors import DownloadError, WeightsError
from l3ac_jax.model.params import flatten, in_words, mismatches, unflatten
from l3ac_jax.official.torch_files import read_state_dict
from l3ac_jax.system.cache import cache_folder
from l3ac_jax.training.whisper import MEL_BANDS, WhisperEncoder

__all__ = ["REPOSITORY", "load_whisper_encoder", "read_whisper_encoder"]

REPOSITORY = "openai/whisper-tiny.en"
FILE = "model.safetensors"


def load_whisper_encoder(path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """The parameters of `WhisperEncoder` (NumPy, float32).

    `path` is a file ending in .pt or .safetensors; without one, the file of the hub's repository
    openai/whisper-tiny.en (150 MB), which is kept in the cache folder. Raises WeightsError for a
    file that is not the encoder of tiny.en, DownloadError where there is none to be had.
    """
    return read_whisper_encoder(_download() if path is None else path)


def read_whisper_encoder(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The parameters of `WhisperEncoder` in a .pt or .safetensors file. Raises WeightsError."""
    path = Path(path)
    readers = {".pt": _read_checkpoint, ".safetensors": _read_safetensors}
    if path.suffix not in readers:
        raise WeightsError(f"{path}: Whisper's weights are read from .pt and .safetensors files")
    tensors = readers[path.suffix](path)
    tensors = {name.removeprefix("model."): array for name, array in tensors.items()}
    names = _file_names(1 if "encoder.embed_positions.weight" in tensors else 0)
    found = {
        leaf: _our_axes(leaf, tensors[name]) for leaf, name in names.items() if name in tensors
    }
    # Shapes are compared before anything is copied: a view can be far larger than its file.
    shapes = {leaf: jax.ShapeDtypeStruct(x.shape, np.float32) for leaf, x in found.items()}
    if problems := mismatches(shapes, _expected()):
        raise WeightsError(f"{path}: not the encoder of Whisper tiny.en:{in_words(problems)}")
    return unflatten({leaf: x.astype(np.float32, order="C") for leaf, x in found.items()})


# Our layer, its name in OpenAI's files, and in Hugging Face's.
_LAYERS = (
    (r"conv_(\d)", r"conv\1", r"conv\1"),
    (r"block_(\d)/attention_norm", r"blocks.\1.attn_ln", r"layers.\1.self_attn_layer_norm"),
    (r"block_(\d)/query", r"blocks.\1.attn.query", r"layers.\1.self_attn.q_proj"),
    (r"block_(\d)/key", r"blocks.\1.attn.key", r"layers.\1.self_attn.k_proj"),
    (r"block_(\d)/value", r"blocks.\1.attn.value", r"layers.\1.self_attn.v_proj"),
    (r"block_(\d)/out", r"blocks.\1.attn.out", r"layers.\1.self_attn.out_proj"),
    (r"block_(\d)/feed_forward_norm", r"blocks.\1.mlp_ln", r"layers.\1.final_layer_norm"),
    (r"block_(\d)/expand", r"blocks.\1.mlp.0", r"layers.\1.fc1"),
    (r"block_(\d)/project", r"blocks.\1.mlp.2", r"layers.\1.fc2"),
    (r"output_norm", r"ln_post", r"layer_norm"),
)
_POSITIONS = ("positional_embedding", "embed_positions.weight")
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def _expected() -> dict[str, Any]:
    """Shape and type of each parameter, by path."""
    mel = jnp.zeros((1, 2, MEL_BANDS))
    shapes = jax.eval_shape(WhisperEncoder().init, jax.random.key(0), mel)["params"]
    return flatten(shapes)


def _file_names(convention: int) -> dict[str, str]:
    """The name in a file of each parameter, by path; convention 0 is OpenAI's."""
    names = {}
    for path in _expected():
        layer, _, leaf = path.rpartition("/")
        for ours, *theirs in _LAYERS:
            if match := re.fullmatch(ours, layer):
                names[path] = f"encoder.{match.expand(theirs[convention])}.{_LEAVES[leaf]}"
    return {**names, "positions": f"encoder.{_POSITIONS[convention]}"}


def _our_axes(path: str, array: NDArray) -> NDArray:
    """(out, in, width) and (out, in) -> (width, in, out) and (in, out)."""
    return array.T if path.endswith("/kernel") else array


def _read_safetensors(path: Path) -> dict[str, NDArray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = [name for name in file.keys() if "encoder." in name]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: {error}") from error


def _read_checkpoint(path: Path) -> dict[str, NDArray]:
    return read_state_dict(path, entry="model_state_dict")


def _download() -> Path:
    folder = cache_folder() / "whisper-tiny.en"
    if not (folder / FILE).is_file():
        # Only here: the import takes a while, and a filled cache does without.
        import huggingface_hub

        url = huggingface_hub.hf_hub_url(REPOSITORY, FILE)
        try:
            # The download itself would retry for half a minute before it says that it is offline.
            huggingface_hub.get_hf_file_metadata(url)
            huggingface_hub.hf_hub_download(REPOSITORY, FILE, local_dir=folder)
        except Exception as error:  # each failure has its own kind, and the advice is the same
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DownloadError(
                f"Whisper's weights are missing and could not be downloaded ({reason}). "
                f"Download {url} and put it into {folder}"
            ) from error
    return folder / FILE
