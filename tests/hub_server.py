"""A hub on this machine: what huggingface_hub needs of the real one, to download and to upload."""

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest

from l3ac_jax.weights.hub import REPOSITORY


class Hub(ThreadingHTTPServer):
    """Serves the bytes in `files` as the hub does, and writes down what was asked for.

    With a `token`, whoever has it can make repositories and commit to them.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.files: dict[str, bytes] = {}
        self.downloads: list[str] = []
        self.token: str | None = None
        self.repositories: dict[str, dict] = {}
        self.objects: dict[str, bytes] = {}  # large files, by their SHA-256

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

    def do_PUT(self) -> None:
        self.server.objects[Path(self.path).name] = self._body()
        self._reply(200, {})

    def do_POST(self) -> None:
        body = self._body()
        token = self.server.token
        if token is None or self.headers.get("Authorization") != f"Bearer {token}":
            self._reply(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            known = name in self.server.repositories
            self.server.repositories.setdefault(name, wanted)
            self._reply(409 if known else 200, {"url": f"{self.server.endpoint}/{name}"})
        elif self.path == "/api/validate-yaml":
            self._reply(200, {"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for file in json.loads(body)["files"]
            ]
            self._reply(200, {"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    **wanted,
                    "actions": {"upload": {"href": f"{self.server.endpoint}/lfs/{wanted['oid']}"}},
                }
                for wanted in json.loads(body)["objects"]
            ]
            self._reply(200, {"transfer": "basic", "objects": objects})
        elif self.path.endswith("/commit/main"):
            repository = self.path.removeprefix("/api/models/").removesuffix("/commit/main")
            for line in map(json.loads, body.splitlines()):
                self._commit(repository, line["key"], line["value"])
            address = f"{self.server.endpoint}/{repository}/commit/{'0' * 40}"
            self._reply(200, {"commitUrl": address, "commitOid": "0" * 40})
        else:
            self._reply(404, {"error": self.path})

    def _commit(self, repository: str, kind: str, value: dict) -> None:
        if kind == "header":
            return
        content = {
            "file": lambda: base64.b64decode(value["content"]),
            "lfsFile": lambda: self.server.objects[value["oid"]],
        }[kind]()
        self.server.files[f"/{repository}/resolve/main/{value['path']}"] = content

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _reply(self, status: int, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

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
