"""Published weights: downloaded once into the user's cache, and clear advice where that fails."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import huggingface_hub.constants as hub_constants
import pytest

from l3ac_jax.hub import (
    REPOSITORY,
    WEIGHT_FILES,
    DownloadError,
    cache_folder,
    download_weights,
    missing_weights,
    weights_folder,
)


class Hub(ThreadingHTTPServer):
    """Serves the bytes in `files` as the hub does, and writes down what was asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.files: dict[str, bytes] = {}
        self.downloads: list[str] = []

    def publish(self, name: str, files: dict[str, bytes]) -> None:
        for file, content in files.items():
            self.files[f"/{REPOSITORY}/resolve/main/weights/{name}.v1/{file}"] = content

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class HubRequest(BaseHTTPRequestHandler):
    server: Hub

    def _answer(self) -> bytes:
        content = self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        else:
            self.send_header("ETag", f'"{hash(content):x}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        return content or b""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())
        # huggingface_hub also asks for things of its own.
        if self.path in self.server.files:
            self.server.downloads.append(Path(self.path).name)

    def log_message(self, format: str, *args: object) -> None:
        pass


# Port 9 (discard) on this machine: nothing listens there.
NOBODY = "http://127.0.0.1:9"


def use_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """What $HF_ENDPOINT does when huggingface_hub is imported."""
    template = hub_constants.HUGGINGFACE_CO_URL_TEMPLATE
    path = template.removeprefix(hub_constants.ENDPOINT)
    monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + path)
    monkeypatch.setattr(hub_constants, "ENDPOINT", endpoint)


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine, which huggingface_hub takes for the real one."""
    with Hub() as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        use_endpoint(monkeypatch, server.endpoint)
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        yield server
        server.shutdown()


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
