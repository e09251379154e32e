"""Nothing that was paid for is lost: not by an error, a kill, a truncated line or a change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from workbench.errors import WorkbenchError
from workbench.feedback.constitution import chats
from workbench.feedback.constitution.chat_critic import ChatCritic
from workbench.feedback.constitution.chats import EndpointChat, Remembered
from workbench.feedback.constitution.journal import Journal
from workbench.feedback.constitution.principles import Principle
from workbench.feedback.constitution.revising import revise

PRINCIPLES = [Principle("one", "Be short."), Principle("two", "Be kind.")]
PROMPTS = [f"prompt {number}" for number in range(20)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def reply(text: str, seed: int) -> str:
    """An answer, a critique or a revision, by what is asked."""
    if "Rewrite the answer" in text:
        return f"revised {len(text)}"
    return "Yes, it is." if "Does the answer break" in text else f"answer to {text}"


def run(path, writer, critic, principles=PRINCIPLES):
    journal = Journal(path)
    chats = [Remembered(chat, journal) for chat in (writer, critic)]
    return list(revise(PROMPTS, principles, chats[0], ChatCritic(chats[1]), seed=3))


def test_a_second_call_asks_for_nothing(path, fake_chat):
    chats = fake_chat(reply, "writer"), fake_chat(reply, "critic")
    first = run(path, *chats)
    assert [len(chat.asked) for chat in chats] == [20, 40]
    again = fake_chat(reply, "writer"), fake_chat(reply, "critic")
    assert run(path, *again) == first
    assert [chat.asked for chat in again] == [[], []]


@pytest.mark.parametrize("failing", [0, 1, 7, 19, 20, 33, 59])
def test_after_an_error_only_what_is_missing_is_asked(path, fake_chat, failing):
    count = iter(range(10**6))

    def fails(text, seed):
        return WorkbenchError("no network") if next(count) == failing else reply(text, seed)

    with pytest.raises(WorkbenchError, match="no network"):
        run(path, *(fake_chat(fails, name) for name in ("writer", "critic")))
    rest = fake_chat(reply, "writer"), fake_chat(reply, "critic")
    found = run(path, *rest)
    assert sum(len(chat.asked) for chat in rest) == 60 - failing
    whole = run(path.with_name("whole"), fake_chat(reply, "writer"), fake_chat(reply, "critic"))
    assert found == whole


def test_a_changed_principle_asks_anew_for_what_depends_on_it(path, fake_chat):
    first = run(path, fake_chat(reply, "writer"), fake_chat(reply, "critic"))
    changed = [PRINCIPLES[0], replace(PRINCIPLES[1], text="Be very kind.")]
    writer, critic = fake_chat(reply, "writer"), fake_chat(reply, "critic")
    run(path, writer, critic, changed)
    under = sum(one.principle.name == "two" for one in first)
    assert 0 < under < 20
    assert len(writer.asked) == 0
    assert len(critic.asked) == 2 * under
    assert all("Be very kind." in text for text, _ in critic.asked)


@pytest.mark.parametrize(("names", "asked"), [(("writer", "other"), (0, 40)),
                                              (("other", "critic"), (20, 0))])  # fmt: skip
def test_another_model_asks_anew_for_what_depends_on_it(path, fake_chat, names, asked):
    """The other writer gives the same answers here, so its critiques are known."""
    run(path, fake_chat(reply, "writer"), fake_chat(reply, "critic"))
    chats = tuple(fake_chat(reply, name) for name in names)
    run(path, *chats)
    assert tuple(len(chat.asked) for chat in chats) == asked


def test_a_line_truncated_anywhere_is_asked_for_again_and_nothing_else(path):
    calls = [{"kind": "reply", "text": f"ü {number}"} for number in range(2)]
    journal = Journal(path)
    for call in calls:
        journal[call] = "said"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        cut = Journal(path)
        assert calls[0] in cut
        assert (calls[1] in cut) == (size == len(whole) - 1)
        cut[calls[1]] = "said"
        assert len(Journal(path)) == 2


WRITER = """
import sys
from workbench.feedback.constitution.journal import Journal
journal = Journal(sys.argv[1])
for number in range(10**9):
    journal[{"kind": "reply", "text": f"{number} " + "word " * 200}] = number
    print(number, flush=True)
"""


def test_replies_survive_a_killed_process(path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE,
                               env={**os.environ})  # fmt: skip
    assert process.stdout is not None
    printed = [int(process.stdout.readline()) for _ in range(20)]
    with pytest.raises(WorkbenchError, match=f"is being written by process {process.pid} on"):
        Journal(path)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    printed += [int(line) for line in process.stdout.read().split()]
    process.stdout.close()
    process.wait()
    assert len(Journal(path)) - len(printed) in (0, 1)  # kept, but killed before it was printed
    kept = [json.loads(line)["value"] for line in path.read_bytes().splitlines()[: len(printed)]]
    assert kept == printed


def test_what_is_no_journal_is_refused_and_left_as_it_is(path):
    path.write_text('{"prompt": "mine"}\n')
    with pytest.raises(WorkbenchError, match="is not a journal: line 1; choose another folder"):
        Journal(path)
    assert path.read_text() == '{"prompt": "mine"}\n'


def test_a_folder_that_takes_no_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkbenchError, match=r"can't be written: .*; choose another folder"):
        Journal(tmp_path / "file" / "journal.jsonl")


@pytest.mark.parametrize("value", [5, None, ["No."], {"a": 1}, True])
def test_a_reply_edited_into_something_else_is_one_line(path, fake_chat, value):
    chat = Remembered(fake_chat(reply), Journal(path))
    list(chat.replies(["question"], 0))
    row = json.loads(path.read_text()) | {"value": value}
    del row["crc32"]
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(WorkbenchError, match=r"journal\.jsonl holds .* was asked for 'reply'"):
        list(Remembered(fake_chat(reply), Journal(path)).replies(["question"], 0))


@pytest.mark.parametrize(("value", "fits"), [(0, True), (0.25, True), (None, True), (1.5, False),
                                             ("A", False), (float("nan"), False)])  # fmt: skip
def test_a_choice_is_a_probability_or_none(path, fake_chat, value, fits):
    chat = Remembered(fake_chat(lambda text, seed: value), Journal(path))
    if fits:
        assert list(chat.chances(["which?"], ("A", "B"), 0)) == [(0, value)]
    else:
        with pytest.raises(WorkbenchError, match="was asked for 'A or B'"):
            list(chat.chances(["which?"], ("A", "B"), 0))


def test_the_same_text_is_asked_once_in_a_call(path, fake_chat):
    writer = fake_chat(reply)
    found = list(Remembered(writer, Journal(path)).replies(["a", "b", "a", "c", "b"], 0))
    assert [text for text, _ in writer.asked] == ["a", "b", "c"]
    assert found == [(index, f"answer to {text}") for index, text in enumerate("abacb")]


def test_a_second_interrupt_waits_for_no_reply(monkeypatch):
    """The first one waits for what is on its way, which a server that hangs never ends."""
    hangs, interrupts = Event(), []

    def interrupted(*_, **__):
        interrupts.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(chats, "wait", interrupted)
    endpoint = SimpleNamespace(parallel=2, chat=lambda messages: hangs.wait(10))
    with pytest.raises(KeyboardInterrupt):
        list(EndpointChat(endpoint).replies(["a", "b", "c"], 0))
    assert len(interrupts) == 2
    hangs.set()
