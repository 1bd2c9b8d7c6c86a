"""Models of the hub: downloaded, kept, put there, and a clear word where that fails."""

from pathlib import Path

import huggingface_hub.constants as hub_constants
import jax
import numpy as np
import pytest

import l3ac_jax
from l3ac_jax.errors import DownloadError, ModelNotFoundError, UploadError, WeightsError
from l3ac_jax.evaluation.random_params import random_params
from l3ac_jax.weights.file import save_model_file
from l3ac_jax.weights.repositories import MODEL_FILE, PREFIX, download_model, push_folder
from l3ac_jax.weights.sources import load_params
from tests.hub_server import NOBODY, use_endpoint
from tests.small_configs import SMALL_CONFIGS

REPOSITORY = "somebody/codec"
NAME = f"{PREFIX}{REPOSITORY}"


@pytest.fixture(autouse=True)
def hub_cache(monkeypatch, tmp_path):
    """The library's cache, and a user who is nobody."""
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(hub_constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def published(tmp_path):
    """A folder with a model file and a card, and its parameters."""
    config = SMALL_CONFIGS["baseline"]
    params = random_params(config, 0)
    folder = tmp_path / "model"
    folder.mkdir()
    save_model_file(folder / MODEL_FILE, config, params, "float32")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    return folder, config, params

    return random_params(config, 0)


def serve(hub, folder: Path, revision: str = "main") -> str:
    path = f"/{REPOSITORY}/resolve/{revision}/{MODEL_FILE}"
    hub.files[path] = (folder / MODEL_FILE).read_bytes()
    return path


def equal(some, others) -> bool:
    return jax.tree.all(jax.tree.map(np.array_equal, some, others))


def test_a_repository_is_downloaded_and_kept(hub, published, monkeypatch):
    folder, config, params = published
    serve(hub, folder)
    codec = l3ac_jax.get_model(NAME)
    assert codec.config == config
    assert equal(codec.params, params)
    assert hub.downloads == [MODEL_FILE]
    assert equal(load_params(NAME)[1], params)
    assert hub.downloads == [MODEL_FILE]  # once
    use_endpoint(monkeypatch, NOBODY)
    assert equal(load_params(NAME)[1], params)
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    assert equal(load_params(NAME)[1], params)


def test_a_revision_can_be_asked_for(hub, published):
    folder, _, params = published
    serve(hub, folder, "v1")
    assert equal(load_params(f"{NAME}@v1")[1], params)
    with pytest.raises(DownloadError, match="404"):
        load_params(NAME)


@pytest.mark.parametrize(
    "name",
    ["hf://", "hf://model", "hf://a/b/c", "hf://a/..", "hf://../b", "hf://a/b@", "hf://a b/c"],
)
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(ModelNotFoundError, match="give hf://OWNER/NAME"):
        download_model(name)


def test_what_cannot_be_had_is_said(hub, monkeypatch):
    with pytest.raises(DownloadError, match=rf"{NAME}: {MODEL_FILE} cannot be had: 404") as error:
        download_model(NAME)
    assert len(str(error.value).splitlines()) == 1
    use_endpoint(monkeypatch, NOBODY)
    with pytest.raises(DownloadError, match="is not in the cache and could not be downloaded"):
        download_model(NAME)


def test_a_file_that_is_too_large_is_not_downloaded(hub, published, monkeypatch):
    folder, *_ = published
    size = len(hub.files[serve(hub, folder)])
    monkeypatch.setattr("l3ac_jax.weights.repositories.LARGEST_FILE", size)
    l3ac_jax.get_model(NAME)
    monkeypatch.setattr("l3ac_jax.weights.repositories.LARGEST_FILE", size - 1)
    with pytest.raises(DownloadError, match=f"{NAME}: {MODEL_FILE} has {size:,} bytes; files"):
        l3ac_jax.get_model(NAME)


def test_what_a_repository_holds_is_not_trusted(hub):
    hub.files[f"/{REPOSITORY}/resolve/main/{MODEL_FILE}"] = b"something else"
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        load_params(NAME)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own
def test_a_folder_goes_to_the_hub_and_comes_back(hub, published, monkeypatch):
    folder, config, params = published
    hub.token = "hf_right"
    monkeypatch.setenv("HF_TOKEN", hub.token)
    for _ in range(2):  # the second time into the repository that is there
        assert push_folder(folder, REPOSITORY, private=True) == f"{hub.endpoint}/{REPOSITORY}"
    assert hub.repositories[REPOSITORY]["visibility"] == "private"
    codec = l3ac_jax.get_model(NAME)
    assert codec.config == config
    assert equal(codec.params, params)
    assert hub.files[f"/{REPOSITORY}/resolve/main/README.md"].endswith(b"# A model\n")


def test_who_may_not_write_is_told(hub, published, monkeypatch):
    hub.token = "hf_right"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UploadError, match=rf"{REPOSITORY}: could not be written to .*401") as error:
        push_folder(published[0], REPOSITORY)
    assert "`hf auth login`" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(UploadError, match="give OWNER/NAME"):
        push_folder(published[0], "name")
