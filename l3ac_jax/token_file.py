"""Tokens in a file: a NumPy .npz with what is needed to make the same audio file again."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from l3ac_jax.config import CodecConfig
from l3ac_jax.files import check_output, complete_file

VERSION = 1


class TokenFileError(ValueError):
    """A token file that cannot be read, written or decoded; the message names it and says why."""


@dataclass(frozen=True)
class TokenFile:
    """Each channel's tokens, and the length of the audio before and after resampling."""

    tokens: Int32[np.ndarray, "channels frames"]
    samples: int  # per channel, at `sample_rate`
    sample_rate: int  # of the audio file, in Hz
    codec_samples: int  # per channel, at the codec's rate
    model: str  # the name or folder that they were encoded with
    fingerprint: str  # of that model's configuration


def fingerprint(config: CodecConfig) -> str:
    """A short text that differs between configurations.

    Fields at their defaults do not count, so that a later field with a default changes nothing.
    """
    fields = config.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def check_token_output(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Find out before the work whether write_tokens can. Raises TokenFileError, OutputError."""
    if Path(path).suffix.lower() != ".npz":
        raise TokenFileError(f"{path}: tokens are written as .npz: the name must end so")
    check_output(path, overwrite)


def write_tokens(path: str | os.PathLike[str], content: TokenFile, overwrite: bool = False) -> None:
    """Write the file, complete or not at all. Raises TokenFileError, OutputError."""
    check_token_output(path, overwrite)
    with complete_file(path, overwrite) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, version=VERSION, **vars(content))


def read_tokens(path: str | os.PathLike[str]) -> TokenFile:
    """Read what write_tokens wrote; nothing in the file is executed. Raises TokenFileError."""
    if not Path(path).exists():
        raise TokenFileError(f"{path}: does not exist")
    if not zipfile.is_zipfile(path):
        raise TokenFileError(f"{path}: is not a token file (.npz)")
    try:
        with np.load(path, allow_pickle=False) as file:
            version = int(file["version"])
            if version != VERSION:
                raise TokenFileError(
                    f"{path}: has version {version}, and only {VERSION} can be read here"
                )
            content = TokenFile(
                tokens=file["tokens"],
                samples=int(file["samples"]),
                sample_rate=int(file["sample_rate"]),
                codec_samples=int(file["codec_samples"]),
                model=str(file["model"]),
                fingerprint=str(file["fingerprint"]),
            )
    except TokenFileError:
        raise
    except KeyError as error:
        raise TokenFileError(f"{path}: is not a token file: {error.args[0]}") from error
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TokenFileError(f"{path}: is not a token file that can be read: {error}") from error
    if content.tokens.ndim != 2 or content.tokens.size == 0 or content.tokens.dtype != np.int32:
        given = f"{content.tokens.dtype} of shape {content.tokens.shape}"
        raise TokenFileError(f"{path}: tokens must be int32 (channels, frames), got {given}")
    if min(content.samples, content.sample_rate, content.codec_samples) < 1:
        raise TokenFileError(f"{path}: lengths and sample rate must be positive")
    return content
