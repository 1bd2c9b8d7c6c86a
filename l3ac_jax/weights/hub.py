"""The published weights: five files on the hub, kept in the user's cache."""

from __future__ import annotations

from pathlib import Path

from l3ac_jax.config import PUBLISHED
from l3ac_jax.errors import DownloadError
from l3ac_jax.system.cache import cache_folder

REPOSITORY = "zhai-lw/L3AC"
WEIGHT_FILES = ("encoder.pt", "quantizer.pt", "decoder.pt", "en_encoder.pt", "en_decoder.pt")


def weights_folder(name: str) -> Path:
    """Where the five files of a published model are kept."""
    return cache_folder() / _hub_folder(name)


def missing_weights(name: str) -> list[str]:
    """Those of the five files of a published model that are not in its folder."""
    return [file for file in WEIGHT_FILES if not (weights_folder(name) / file).is_file()]


def download_weights(name: str) -> Path:
    """The folder with the five files of a published model, fetched from the hub where missing.

    Raises DownloadError, which says what to put where, when they cannot be fetched.
    """
    if name not in PUBLISHED:
        raise DownloadError(f"{name!r} is not a published model: there are {', '.join(PUBLISHED)}")
    missing = missing_weights(name)
    if missing:
        # Only here: the import takes a while, and a filled cache does without.
        import huggingface_hub

        paths = [f"{_hub_folder(name)}/{file}" for file in missing]
        try:
            # The download itself would retry for half a minute before it says that it is offline.
            huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(REPOSITORY, paths[0]))
            for path in paths:
                huggingface_hub.hf_hub_download(REPOSITORY, path, local_dir=cache_folder())
        # No network, offline mode, no such file, a full disk: each has its own exception in each
        # version of the library, and the advice is the same.
        except Exception as error:
            raise DownloadError(_advice(name, error)) from error
    return weights_folder(name)


def _hub_folder(name: str) -> str:
    return f"weights/{name}.v1"


def _advice(name: str, error: Exception) -> str:
    from huggingface_hub import constants

    missing = missing_weights(name)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return (
        f"{name}: weights are missing and could not be downloaded ({reason}). "
        f"Download {', '.join(missing)} from "
        f"{constants.ENDPOINT}/{REPOSITORY}/tree/main/{_hub_folder(name)} "
        f"and put {'it' if len(missing) == 1 else 'them'} into {weights_folder(name)}"
    )
