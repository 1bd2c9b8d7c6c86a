"""Token files: what is written is read, and everything else is refused without being executed."""

import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest

from l3ac_jax.config import PUBLISHED, CodecConfig, published_config
from l3ac_jax.files import OutputError
from l3ac_jax.token_file import (
    TokenFile,
    TokenFileError,
    fingerprint,
    read_tokens,
    write_tokens,
)

CONTENT = TokenFile(
    tokens=np.arange(12, dtype=np.int32).reshape(2, 6),
    samples=1500,
    sample_rate=44100,
    codec_samples=545,
    model="3kbps",
    fingerprint="0123456789abcdef",
)


def test_what_is_written_is_read(tmp_path):
    write_tokens(tmp_path / "tokens.npz", CONTENT)
    content = read_tokens(tmp_path / "tokens.npz")
    np.testing.assert_array_equal(content.tokens, CONTENT.tokens)
    assert content.tokens.dtype == np.int32
    same_array = replace(content, tokens=CONTENT.tokens)
    assert vars(same_array) == vars(CONTENT)


def test_writing_replaces_only_when_asked_and_only_npz(tmp_path):
    path = tmp_path / "tokens.npz"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="already exists"):
        write_tokens(path, CONTENT)
    assert path.read_bytes() == b"precious"
    write_tokens(path, CONTENT, overwrite=True)
    assert read_tokens(path).samples == 1500
    with pytest.raises(TokenFileError, match=r"the name must end so"):
        write_tokens(tmp_path / "tokens.wav", CONTENT)
    assert list(tmp_path.iterdir()) == [path]


def _savez(path, **changes):
    content = {"version": 1, **vars(CONTENT), **changes}
    np.savez(path, **{name: value for name, value in content.items() if value is not None})


def _truncated(path):
    write_tokens(path, CONTENT)
    path.write_bytes(path.read_bytes()[:-100])


def _corrupt(path):
    _savez(path)
    data = bytearray(path.read_bytes())
    where = data.index(CONTENT.tokens.tobytes())
    data[where] ^= 0xFF
    path.write_bytes(data)


def _single_array(path):
    with path.open("wb") as stream:
        np.save(stream, CONTENT.tokens)


def _other_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("version.npy", "1")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is not a token file"),
        (lambda path: path.write_text("text"), "is not a token file"),
        (_truncated, "is not a token file"),
        (_corrupt, "is not a token file that can be read"),
        (_single_array, "is not a token file"),
        (_other_zip, "is not a token file"),
        (lambda path: np.savez(path, other=np.zeros(3)), "version"),
        (lambda path: _savez(path, samples=None), "samples"),
        (lambda path: _savez(path, version=2), "has version 2"),
        (lambda path: _savez(path, version=[1, 2]), "is not a token file that can be read"),
        (lambda path: _savez(path, tokens=np.zeros((1, 3))), "got float64 of shape (1, 3)"),
        (lambda path: _savez(path, tokens=np.zeros(3, np.int32)), "got int32 of shape (3,)"),
        (lambda path: _savez(path, tokens=np.zeros((1, 0), np.int32)), "got int32 of shape (1, 0)"),
        (lambda path: _savez(path, samples=0), "must be positive"),
        (lambda path: _savez(path, sample_rate=-1), "must be positive"),
    ],
)
def test_what_is_no_token_file_is_one_clear_error(make, reason, tmp_path):
    path = tmp_path / "tokens.npz"
    make(path)
    with pytest.raises(TokenFileError) as error:
        read_tokens(path)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)
    assert len(str(error.value).splitlines()) == 1


class _Trap:
    def __reduce__(self):
        return (pytest.fail, ("code in a token file was executed",))


@pytest.mark.parametrize("name", [field.name for field in fields(TokenFile)])
def test_pickled_objects_are_refused_and_not_loaded(name, tmp_path):
    trap = np.array([_Trap()], dtype=object)
    _savez(tmp_path / "tokens.npz", **{name: trap})
    with pytest.raises(TokenFileError, match="is not a token file that can be read"):
        read_tokens(tmp_path / "tokens.npz")


def test_fingerprints_tell_configurations_apart():
    configs = [published_config(name).model for name in PUBLISHED]
    prints = {fingerprint(config) for config in configs}
    assert len(prints) == len(PUBLISHED)
    again = CodecConfig.model_validate(configs[0].model_dump())
    assert fingerprint(again) == fingerprint(configs[0])
