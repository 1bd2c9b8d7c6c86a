"""A hub on this machine: what huggingface_hub needs of the real one, serving given bytes."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest

from l3ac_jax.weights.hub import REPOSITORY


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
        # Before it is sent: once it is there, the test looks. huggingface_hub also asks for things
        # of its own.
        if self.path in self.server.files:
            self.server.downloads.append(Path(self.path).name)
        self.wfile.write(self._answer())

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
