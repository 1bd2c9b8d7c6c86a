"""Published weights: downloaded once into the user's cache, and clear advice where that fails."""

from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest

from l3ac_jax.errors import DownloadError
from l3ac_jax.system.cache import cache_folder
from l3ac_jax.weights.hub import WEIGHT_FILES, download_weights, missing_weights, weights_folder
from tests.hub_server import NOBODY, use_endpoint


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("L3AC_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(name: str) -> dict[str, bytes]:
    return {file: f"{name} {file}".encode() for file in WEIGHT_FILES}


def test_five_files_are_downloaded_once(hub, cache):
    hub.publish("1kbps", contents("1kbps"))
    folder = download_weights("1kbps")
    assert folder == cache / "weights" / "1kbps.v1"
    assert {file: (folder / file).read_bytes() for file in WEIGHT_FILES} == contents("1kbps")
    assert sorted(hub.downloads) == sorted(WEIGHT_FILES)
    hub.downloads.clear()
    assert download_weights("1kbps") == folder
    assert hub.downloads == []


def test_only_what_is_missing_is_downloaded(hub):
    hub.publish("1kbps", contents("1kbps"))
    weights_folder("1kbps").mkdir(parents=True)
    (weights_folder("1kbps") / "encoder.pt").write_bytes(b"by hand")
    assert missing_weights("1kbps") == list(WEIGHT_FILES[1:])
    folder = download_weights("1kbps")
    assert sorted(hub.downloads) == sorted(WEIGHT_FILES[1:])
    assert (folder / "encoder.pt").read_bytes() == b"by hand"


def test_nothing_is_asked_for_when_all_files_are_there(cache, monkeypatch):
    use_endpoint(monkeypatch, NOBODY)
    weights_folder("3kbps").mkdir(parents=True)
    for file in WEIGHT_FILES:
        (weights_folder("3kbps") / file).touch()
    assert download_weights("3kbps") == cache / "weights" / "3kbps.v1"


def _check_advice(error: DownloadError, missing: tuple[str, ...], endpoint: str) -> None:
    message = str(error)
    assert len(message.splitlines()) == 1
    assert f"Download {', '.join(missing)} from" in message
    assert f"from {endpoint}/zhai-lw/L3AC/tree/main/weights/3kbps.v1 and" in message
    assert message.endswith(f"into {weights_folder('3kbps')}")


def test_without_a_network_the_message_says_what_to_put_where(monkeypatch, capfd):
    use_endpoint(monkeypatch, NOBODY)
    with pytest.raises(DownloadError) as error:
        download_weights("3kbps")
    _check_advice(error.value, WEIGHT_FILES, NOBODY)
    assert capfd.readouterr() == ("", "")


def test_in_offline_mode_the_message_says_what_to_put_where(hub, monkeypatch):
    hub.publish("3kbps", contents("3kbps"))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="offline mode is enabled") as error:
        download_weights("3kbps")
    _check_advice(error.value, WEIGHT_FILES, hub.endpoint)
    assert hub.downloads == []


def test_a_file_that_the_hub_does_not_have_is_named(hub):
    files = contents("3kbps")
    del files["en_decoder.pt"]
    hub.publish("3kbps", files)
    with pytest.raises(DownloadError, match="404") as error:
        download_weights("3kbps")
    _check_advice(error.value, ("en_decoder.pt",), hub.endpoint)


def test_only_published_names_are_asked_for(hub):
    with pytest.raises(DownloadError, match=r"'\.\./3kbps' is not a published model"):
        download_weights("../3kbps")


def test_the_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("L3AC_JAX_CACHE", "/chosen")
    assert cache_folder() == Path("/chosen")
    monkeypatch.delenv("L3AC_JAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/l3ac-jax")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/user")
    assert cache_folder() == Path("/home/user/.cache/l3ac-jax")
