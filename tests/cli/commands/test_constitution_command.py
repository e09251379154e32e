"""The command `constitution`: pairs in a folder, an endpoint, a kill in the middle, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from workbench.__main__ import main
from workbench.compare.judging.endpoint import MODEL, URL
from workbench.data.pairs import read_pairs
from workbench.feedback.constitution.feedback_pairs import read_feedback
from workbench.feedback.constitution.journal import Journal

ROOT = Path(__file__).parents[3]
COMMAND = ["constitution", "--writer", "grammar", "--count", "24"]


class Server:
    """Replies `answer(text, number of the request)`, or breaks the connection where it is None."""

    def __init__(self, answer: Callable[[str, int], str | None], listen: Any) -> None:
        self.answer, self.asked = answer, list[str]()
        self.url = f"http://127.0.0.1:{listen(self.post).server_port}/v1"

    def post(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        self.asked.append(text)
        reply = self.answer(text, len(self.asked))
        if reply is None:
            request.send_error(400, "no credit left")
            return
        content = json.dumps({"choices": [{"message": {"content": reply}}]}).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, listen: Any) -> Callable[..., Server]:
    def start(answer: Callable[[str, int], str | None]) -> Server:
        server = Server(answer, listen)
        monkeypatch.setenv(URL, server.url)
        monkeypatch.setenv(MODEL, "served")
        return server

    return start


def critic(text: str, number: int = 0) -> str:
    """A critic that finds fault with every answer, and prefers A."""
    if "Rewrite" in text:
        return "i liked it."
    return "Yes, it does." if "Does the answer" in text else "A"


@pytest.mark.parametrize("kind", ["revision", "label", "both"])
def test_pairs_are_written_with_their_provenance_and_counted(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*COMMAND, "--kind", kind, "--out", str(tmp_path), "--json"]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    pairs = read_feedback(tmp_path / "pairs.jsonl")
    assert told["counts"]["pairs"] == len(pairs) == len(read_pairs(tmp_path / "pairs.jsonl").pairs)
    assert sum(told["counts"].values()) == (48 if kind == "both" else 24)
    assert {pair.kind for pair in pairs} == ({"revision", "label"} if kind == "both" else {kind})
    assert {(pair.writer, pair.critic) for pair in pairs} == {("grammar", "rules")}
    assert len(told["skipped"]) == sum(told["counts"].values()) - len(pairs)

    first = (tmp_path / "pairs.jsonl").read_bytes()
    assert main([*arguments[:-1]]) == 0
    assert "pairs.jsonl" in capsys.readouterr().out
    assert (tmp_path / "pairs.jsonl").read_bytes() == first


def test_an_endpoint_criticises_and_chooses(
    serve: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(critic)
    flags = [*COMMAND, "--critic", "endpoint", "--kind", "both", "--out", str(tmp_path), "--json"]
    assert main(flags) == 0
    # Every answer is criticised and revised, every pair of answers compared in both orders.
    assert len(server.asked) == 2 * 24 + 2 * 24
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"pairs": 24, "a tie": 24}  # it names A in either order
    assert main(flags) == 0
    assert len(server.asked) == 4 * 24


def test_a_reply_out_of_form_is_counted(
    serve: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(lambda text, number: "Hm" if "film" in text else critic(text))
    flags = ["--critic", "endpoint", "--tries", "2", "--out", str(tmp_path), "--json"]
    assert main([*COMMAND, *flags]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts == {"pairs": 19, "critique not in form after 2 tries": 5}
    assert len(server.asked) == 2 * 19 + 2 * 5


def test_what_came_before_an_error_is_kept(
    serve: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*COMMAND, "--critic", "endpoint", "--out", str(tmp_path)]
    server = serve(lambda text, number: None if number > 21 else critic(text))
    assert main(flags) == 2
    error = capsys.readouterr().err
    assert "the judge refused: HTTP 400" in error
    journal = Journal(tmp_path / "journal.jsonl")
    assert len(journal) == 24 + 21  # every answer of the writer, every reply that came
    assert not (tmp_path / "pairs.jsonl").exists()
    server.answer = critic
    assert main(flags) == 0
    assert len(server.asked) - 48 <= 4  # those that were refused
    assert len(read_feedback(tmp_path / "pairs.jsonl")) == 24


def test_a_killed_command_goes_on_where_it_stopped(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    reached = threading.Event()

    def answer(text: str, number: int) -> str:
        if number == 30:
            reached.set()
        return critic(text)

    server = serve(answer)
    flags = [*COMMAND, "--critic", "endpoint", "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", *flags],
        cwd=ROOT, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert reached.wait(60)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    before, kept = len(server.asked), len(Journal(tmp_path / "killed" / "journal.jsonl")) - 24
    assert 26 <= kept <= before <= kept + 4  # four requests at a time
    assert main(flags) == 0
    assert len(server.asked) - before == 48 - kept
    assert main([*flags[:-1], str(tmp_path / "whole")]) == 0
    killed, whole = (tmp_path / name / "pairs.jsonl" for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--count", "0"], "count=0 is not accepted: a whole number from 1"),
        (["--temperature", "6"], "temperature=6.0 is not accepted"),
        (["--prompts", "{empty}"], "prompt 2 is empty: a prompt holds some text"),
        (["--prompts", "{numbers}"], "row 1 holds no prompt; accepted: a text, or an object"),
        (["--prompts", "no such file"], "no file no such file"),
        (["--principles", "{nothing}"], "row 1: principle 'kind' is empty"),
        (["--principles", "{unruled}"], "principle 'kind' has no rule: give it one of kind"),
        (["--writer", "rules"], "writer='rules' is not accepted: it is no writer"),
        (["--critic", "grammar"], "critic='grammar' is not accepted: it is no critic"),
        (["--critic", "endpoint"], "no judge is configured: set WORKBENCH_JUDGE_URL and"),
    ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(
    more: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(URL, raising=False)
    files = {
        "empty": '["fine", " "]', "numbers": "[1]", "nothing": '[{"name": "kind", "text": ""}]',
        "unruled": '[{"name": "kind", "text": "Be kind."}]',
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    paths = {name: str(tmp_path / name) for name in files}
    out = tmp_path / "out"
    assert main([*COMMAND, "--out", str(out), *(flag.format(**paths) for flag in more)]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_prompts_of_a_file_are_taken_once_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "how was the film?"}\n{"prompt": "how was the film?"}\n'
                    '"how was the hotel?"\n')  # fmt: skip
    flags = [*COMMAND, "--prompts", str(path), "--out", str(tmp_path / "out"), "--count", "2"]
    assert main([*flags, "--json", "--kind", "both"]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert sum(counts.values()) == 4
    prompts = {pair.prompt for pair in read_feedback(tmp_path / "out" / "pairs.jsonl")}
    assert prompts <= {"how was the film?", "how was the hotel?"}
