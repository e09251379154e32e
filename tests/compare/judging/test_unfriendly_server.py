"""A judge behind a server that wants to hang, to fill the memory, or to have the key shown."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import logging
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from workbench.__main__ import main
from workbench.compare.judging import endpoint
from workbench.compare.judging.choices import read_choice
from workbench.compare.judging.endpoint import KEY, MODEL, URL, Endpoint
from workbench.compare.judging.post import LARGEST
from workbench.compare.judging.secret import Secret
from workbench.errors import WorkbenchError

SECRET = "sk-never-shown-4711"
DRIPS = 400  # bytes, one each hundredth of a second
Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def serve(listen: Any) -> Callable[..., Endpoint]:
    """Starts a server that answers so, and makes a judge of it."""

    def start(answer: Answer, **changes: Any) -> Endpoint:
        def post(request: BaseHTTPRequestHandler) -> None:
            request.rfile.read(int(request.headers["Content-Length"]))
            answer(request)

        url = f"http://127.0.0.1:{listen(post).server_port}/v1"
        return Endpoint(url, "m", Secret(SECRET), **{"retries": 0, "wait": 0.0, **changes})

    return start


def send(request: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def content(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


def drip(request: BaseHTTPRequestHandler, before: bytes) -> None:
    request.wfile.write(before)
    for _ in range(DRIPS):
        request.wfile.write(b"a")
        request.wfile.flush()
        time.sleep(0.01)


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nX-Long: ",
        b"HTTP/1.0 200 O",
    ],
)
def test_bytes_that_keep_coming_do_not_extend_the_time(serve: Any, before: bytes) -> None:
    judge = serve(lambda request: drip(request, before), timeout=0.2)
    with pytest.raises(WorkbenchError, match="after 1 tries: no reply in time"):
        judge(["p"], ["a"], ["x"])


def test_a_reply_is_limited_in_size(serve: Any) -> None:
    sizes = iter([LARGEST, LARGEST + 1])
    judge = serve(lambda request: send(request, b" " * next(sizes)))
    assert judge.chat([("user", "q")]) == ""
    with pytest.raises(WorkbenchError, match="has more than 1,048,576 bytes"):
        judge.chat([("user", "q")])


def test_a_compressed_reply_is_not_unpacked(serve: Any) -> None:
    packed = gzip.compress(content("first"))
    judge = serve(lambda request: send(request, packed, Content_Encoding="gzip"))
    assert judge.chat([("user", "q")]) == ""


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": ' + b"[" * 500_000,
        b'{"choices": [{"message": {"content": ' + b"9" * 500_000 + b"}}]}",
        b'{"choices": [{"message": {"content": NaN}}]}',
        b'{"choices": [{"message": {"content": {"a": 1}}}]}',
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_text_is_no_reply(serve: Any, body: bytes) -> None:
    assert serve(lambda request: send(request, body)).chat([("user", "q")]) == ""


def test_a_choice_behind_half_a_million_open_objects_is_found_soon() -> None:
    assert read_choice('{"a":' * 200_000 + '{"better": "tie"}') == "tie"


def test_a_judge_answers_where_a_loop_is_running_already(serve: Any) -> None:
    judge = serve(lambda request: send(request, content("hello")))

    async def cell() -> str:
        return judge.chat([("user", "q")])

    assert asyncio.run(cell()) == "hello"


# -- the key ----------------------------------------------------------------------------------


def test_the_key_is_in_nothing_that_is_made_of_the_judge() -> None:
    judge = Endpoint("https://judge.example/v1", "m", SECRET)  # type: ignore[arg-type]
    for one in (judge, copy.copy(judge), copy.deepcopy(judge), replace(judge, retries=1)):
        assert one.key == SECRET
        for shown in (repr(one), str(one), f"{asdict(one)} {vars(one)}", f"{one.key}"):
            assert SECRET not in shown
            assert "[key]" in shown
    with pytest.raises(TypeError):
        json.dumps(asdict(judge))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(WorkbenchError, match="a key is not saved"):
            pickle.dumps(judge, protocol)
    assert not hasattr(judge.key, "__dict__")
    with pytest.raises(WorkbenchError) as caught:
        Endpoint(f"https://judge.example/v1?key={SECRET}", "m")
    assert SECRET not in str(caught.value)


def test_a_proxy_gets_a_tunnel_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                heard.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 502 no\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        judge = Endpoint("https://judge.example/v1", "m", Secret(SECRET), retries=0, timeout=5.0)
        with pytest.raises(WorkbenchError, match="can't be reached"):
            judge.chat([("user", "q")])
        thread.join()
    assert heard[0].startswith(b"CONNECT judge.example:443 ")
    assert SECRET.encode() not in heard[0]


def test_no_local_variable_on_the_way_holds_the_key(serve: Any) -> None:
    judge = serve(lambda request: send(request, b"no", 403))
    with pytest.raises(WorkbenchError) as caught:
        judge.chat([("user", "q")])
    error: BaseException | None = caught.value
    seen = traceback.TracebackException.from_exception(error, capture_locals=True)  # type: ignore
    frames = [frame for frame in seen.stack if "/workbench/" in frame.filename]
    assert frames
    assert SECRET not in "".join(str(frame.locals) for frame in frames)


def echo() -> Answer:
    """Sends back whatever it was sent, headers included, in all ways that a reply can go wrong."""
    said = cycle(range(6))

    def answer(request: BaseHTTPRequestHandler) -> None:
        heard = str(request.headers)
        assert SECRET in heard
        headers = {"X_Echo": request.headers["Authorization"], "Location": f"/{SECRET}"}
        kind = next(said)
        if kind == 0:
            send(request, content(heard), **headers)
        elif kind in (1, 2, 3):
            send(request, heard.encode(), {1: 200, 2: 302, 3: 403}[kind], **headers)
        elif kind == 4:
            request.wfile.write(f"{SECRET} no HTTP {SECRET}\r\n\r\n".encode())
        else:
            request.wfile.write(f"HTTP/1.0 200 OK\r\nX-Echo: {SECRET}\r\n".encode())
            time.sleep(0.3)

    return answer


def test_an_echo_of_the_key_is_nowhere(
    serve: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    judge = serve(echo(), parallel=1, timeout=0.2)
    told = []
    with caplog.at_level(logging.DEBUG):
        for number in range(12):
            try:
                told.append(judge.chat([("user", str(number))]))
            except WorkbenchError as error:
                told += traceback.format_exception(error)
        monkeypatch.setattr(endpoint, "LONGEST_WAIT", 0.0)
        for name, value in ((URL, judge.url), (MODEL, "m"), (KEY, SECRET)):
            monkeypatch.setenv(name, value)
        flags = ["--writer", "grammar", "--critic", "endpoint", "--count", "2", "--tries", "1"]
        for number in range(6):
            main(["constitution", *flags, "--out", str(tmp_path / "made" / str(number))])
    captured = capfd.readouterr()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    told += [path.read_bytes().decode("utf-8", "replace") for path in files]
    told += [captured.out, captured.err, caplog.text]
    assert SECRET not in " ".join(told)
    assert "[key]" in " ".join(told)


@pytest.mark.full
def test_a_notebook_with_an_echoed_key_does_not_hold_it(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = serve(echo(), timeout=0.2)
    monkeypatch.setenv(URL, judge.url)
    monkeypatch.setenv(MODEL, "m")
    monkeypatch.setenv(KEY, SECRET)
    make = "from workbench.compare.judging.endpoint import Endpoint"
    cells = [f"{make}\njudge = Endpoint.from_environment(retries=0, timeout=0.2)\njudge"]
    cells += ["print(vars(judge)); judge.chat([('user', 'hello')])"] * 6
    cells += ["judge(['p', 'q'], ['a', 'b'], ['x', 'y'])"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", allow_errors=True).execute()
    path = tmp_path / "judged.ipynb"
    nbformat.write(notebook, path)
    text = path.read_text()
    assert SECRET not in text
    assert "[key]" in text
    assert "WorkbenchError" in text
