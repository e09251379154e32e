"""Models of the hub, from a small hub on this machine, and the errors without one."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from workbench.errors import WorkbenchError
from workbench.models import download

FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"hello",
    "model.safetensors": bytes(range(256)) * 4000,
    "pytorch_model.bin": b"pickle",
    "onnx/model.onnx": b"another format",
    "README.md": b"read me",
}
COMMIT = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """Answers for the model ORG/NAME; ORG/GATED needs consent; nothing else is there."""

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        name = path.split("/", 5)[-1]
        if path.startswith("/api/models/ORG/NAME/tree"):
            tree = [{"type": "file", "path": p, "size": len(c), "oid": p} for p, c in FILES.items()]
            self.send(json.dumps(tree).encode(), body)
        elif path.startswith("/api/models/ORG/NAME"):
            siblings = [{"rfilename": path} for path in FILES]
            found = {"id": "ORG/NAME", "sha": COMMIT, "siblings": siblings}
            self.send(json.dumps(found).encode(), body)
        elif path.startswith("/ORG/NAME/resolve/") and name in FILES:
            tag = hashlib.sha1(FILES[name]).hexdigest()
            self.send(FILES[name], body, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
        else:
            gated = "GATED" in path
            self.send_response(403 if gated else 404)
            self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def send(self, content: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


PROGRAM = """
import json, sys
from workbench.errors import WorkbenchError
from workbench.models.download import hub_folder
reports = []
for name in ("ORG/NAME", "ORG/NOPE", "ORG/GATED"):
    try:
        folder = hub_folder(name, lambda text, share: reports.append((text, share)))
        print(json.dumps([sorted(path.name for path in folder.iterdir()), reports]))
    except WorkbenchError as error:
        print(json.dumps(str(error)))
"""


def ask(hub: str, home: object) -> list:
    """What a fresh process prints: the library reads its settings when it is imported."""
    settings = {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, check=True, env={**os.environ, **settings},
    )  # fmt: skip
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_what_is_needed_is_fetched_once_and_refusals_are_reported(hub, tmp_path) -> None:
    (files, reports), unknown, gated = ask(hub, tmp_path)
    wanted = ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"]
    assert files == wanted
    assert reports[-1] == ["fetching ORG/NAME", 1.0]
    assert unknown == "model 'ORG/NOPE' is not on the Hugging Face hub"
    assert gated.startswith("model 'ORG/GATED' needs consent")

    closed = "http://127.0.0.1:9"  # no server listens there
    (files, reports), unreachable, _ = ask(closed, tmp_path)
    assert (files, reports) == (wanted, [])  # nothing was fetched
    assert unreachable.startswith("cannot fetch model 'ORG/NOPE' from the Hugging Face hub: ")
    assert "\n" not in unreachable


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_an_incomplete_cache_is_completed(tmp_path, monkeypatch, missing) -> None:
    for name in {"config.json", "model.safetensors"} - {missing}:
        (tmp_path / name).write_text("{}")
    calls = []

    def snapshot(name: str, local_files_only: bool = False, **_: object) -> str:
        calls.append(local_files_only)
        return str(tmp_path)

    errors = SimpleNamespace(GatedRepoError=KeyError, RepositoryNotFoundError=KeyError)
    library = SimpleNamespace(snapshot_download=snapshot, errors=errors)
    monkeypatch.setattr(download, "optional", lambda name: library)
    assert download.hub_folder("ORG/NAME") == tmp_path
    assert calls == [True, False]


def test_any_failure_of_the_library_is_one_line(monkeypatch) -> None:
    def snapshot(name: str, **_: object) -> str:
        raise OSError("first line\n  second line")

    errors = SimpleNamespace(GatedRepoError=KeyError, RepositoryNotFoundError=KeyError)
    library = SimpleNamespace(snapshot_download=snapshot, errors=errors)
    monkeypatch.setattr(download, "optional", lambda name: library)
    with pytest.raises(WorkbenchError, match=r"'ORG/NAME' .*: first line second line$"):
        download.hub_folder("ORG/NAME")
