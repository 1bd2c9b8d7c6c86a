"""Models in repositories of the hub: `hf://OWNER/NAME`, and folders that become one.

A repository has MODEL_FILE (see file.py) and whatever else is beside it. What is downloaded lies in
huggingface_hub's own cache, a copy for each revision; without a network, the last one is taken.
"""

from __future__ import annotations

import re
from pathlib import Path

from l3ac_jax.errors import DownloadError, ModelNotFoundError, UploadError

__all__ = [
    "LARGEST_FILE",
    "MODEL_FILE",
    "PREFIX",
    "check_repository",
    "download_model",
    "push_folder",
]

PREFIX = "hf://"
MODEL_FILE = "model.safetensors"
LARGEST_FILE = 2**31
"""Bytes of a file that is downloaded: those of 500 million parameters in single precision."""

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
# The cache has a file for each revision, under its name: one with ".." would be put elsewhere.
_NAME = re.compile(rf"(?P<repository>{_PART}/{_PART})(@(?P<revision>{_PART}(/{_PART})*))?")


def check_repository(repository: str) -> str:
    """The same name, OWNER/NAME. Raises UploadError for anything else."""
    found = _NAME.fullmatch(repository)
    if not found or found["revision"]:
        raise UploadError(f"{repository!r} is not the name of a repository: give OWNER/NAME")
    return repository


def download_model(name: str) -> Path:
    """The model file of `hf://OWNER/NAME` or `hf://OWNER/NAME@REVISION`, fetched where it is new.

    Raises ModelNotFoundError for another form of name; DownloadError, with the reason, where there
    is no such file or neither a network nor a copy.
    """
    found = _NAME.fullmatch(name.removeprefix(PREFIX))
    if not found:
        raise ModelNotFoundError(f"{name}: give {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    # Only here: the import takes a while.
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    where = {"repo_id": found["repository"], "filename": MODEL_FILE, "revision": found["revision"]}
    try:
        # The download itself would retry for half a minute before it says that it is offline.
        metadata = huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(**where))
        _check_size(f"{name}: {MODEL_FILE}", metadata.size)
        return Path(huggingface_hub.hf_hub_download(**where))
    except DownloadError:
        raise
    except HfHubHTTPError as error:
        raise DownloadError(f"{name}: {MODEL_FILE} cannot be had: {_reason(error)}") from error
    # No network, offline mode, a full disk: each has its own exception in each version.
    except Exception as error:
        try:
            return Path(huggingface_hub.hf_hub_download(**where, local_files_only=True))
        except Exception:
            raise DownloadError(
                f"{name}: is not in the cache and could not be downloaded ({_reason(error)})"
            ) from error


def push_folder(folder: Path, repository: str, private: bool = False) -> str:
    """Put the files of a folder into a repository, made where it is new; gives its address.

    Raises UploadError with the reason: no token, no right to, no network.
    """
    import huggingface_hub

    hub = huggingface_hub.HfApi()
    try:
        address = hub.create_repo(check_repository(repository), private=private, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Model")
    except UploadError:
        raise
    except Exception as error:  # as above
        raise UploadError(
            f"{repository}: could not be written to ({_reason(error)}). It takes a token with the "
            "right to write: `hf auth login`, or $HF_TOKEN"
        ) from error
    return str(address)


def _check_size(name: str, size: int | None) -> None:
    """Raise DownloadError for a file of more than LARGEST_FILE bytes, before it is downloaded."""
    if size is not None and size > LARGEST_FILE:
        raise DownloadError(
            f"{name} has {size:,} bytes; files of models have at most {LARGEST_FILE:,}"
        )


def _reason(error: BaseException) -> str:
    if type(error) is RuntimeError and error.__cause__:  # which only names a file of an upload
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]
