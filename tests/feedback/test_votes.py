"""Votes on disk: each at once, whatever kills the process; reading gives those that stand."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.pairs import SkippedRow, TextPair, read_pairs, write_jsonl
from workbench.errors import WorkbenchError
from workbench.feedback.votes import (
    COLUMNS,
    Question,
    Vote,
    append_vote,
    damaged_votes,
    open_votes,
    read_votes,
    undo_vote,
    votes_frame,
    votes_to_pairs,
)

HEAD = b'{"prompt": '
QUESTION = Question("how was it?", "good.", "bad.", "policy", "reference", 3, 1)
HOSTILE = (
    "<script>alert(1)</script>", '"quoted" \\ {"prompt": ', "two\nlines\r\u2028", "\0",
    "\u202eto the left\u202c", "zero\u200bwidth", "\ud800 half", "👋 ü",
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "votes.jsonl"


def question(number):
    return replace(QUESTION, prompt=f"prompt {number}")


def cast(path, number, choice="a", **changed):
    vote = Vote.cast(replace(question(number), **changed), choice)
    append_vote(path, vote)
    return vote


def test_what_is_read_is_what_was_cast(path):
    votes = [cast(path, number, choice) for number, choice in enumerate(["a", "b", "tie", "bad"])]
    assert read_votes(path) == votes
    line = json.loads(path.read_text("utf-8").splitlines()[0])
    assert list(line) == [
        "prompt", "a", "b", "name_a", "name_b", "seed", "round", "vote", "time",
        "crc32",
    ]  # fmt: skip
    assert line["time"].endswith("+00:00")


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_comes_back_as_it_was(path, text):
    vote = cast(path, 0, a=text, prompt=text)
    later = cast(path, 1)
    assert read_votes(path) == [vote, later]
    undo_vote(path, vote)
    assert read_votes(path) == [later]


def test_taking_back_leaves_the_votes_that_stand(path):
    kept, again = cast(path, 0), cast(path, 1)
    undo_vote(path, question(1))
    undo_vote(path, question(1))  # there is nothing left to take back
    assert read_votes(path) == [kept]
    new = cast(path, 1, "b")
    assert read_votes(path) == [kept, new]
    assert again != new
    cast(path, 0, "tie")
    undo_vote(path, replace(question(0), a="bad.", b="good."))  # the newest, on either side
    assert read_votes(path) == [kept, new]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "tie", "undo"]))))
def test_reading_follows_every_order_of_votes_and_undos(tmp_path_factory, acts):
    path = open_votes(tmp_path_factory.mktemp("votes") / "votes.jsonl")
    standing = []
    for number, act in acts:
        if act != "undo":
            standing.append(cast(path, number, act))
            continue
        undo_vote(path, question(number))
        indices = [i for i, vote in enumerate(standing) if vote.prompt == f"prompt {number}"]
        standing = [vote for i, vote in enumerate(standing) if i not in indices[-1:]]
    assert read_votes(path) == standing


def test_every_cut_of_the_last_line_leaves_what_was_before(path):
    votes = [cast(path, 0, a="ü 👋"), cast(path, 1)]
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        standing = votes if size == len(whole) - 1 else votes[:1]
        assert read_votes(path) == standing
        new = cast(path, 2)
        assert read_votes(path) == [*standing, new]
        assert path.read_bytes().startswith(whole[:size] + (b"\n" if size > first else b"{"))


def test_a_byte_changed_anywhere_is_named_and_never_another_vote(path):
    votes = [cast(path, 0, a="ü 👋"), cast(path, 1)]
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for at in range(len(HEAD), first - 1):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        assert read_votes(path) == votes[1:]
        assert [row.row for row in damaged_votes(path)] == [1]
        assert [row.row for row in votes_to_pairs(path).skipped] == [1]
    path.write_bytes(whole.replace(b'"vote": "a"', b'"vote": "b"', 1))
    assert "take out its crc32" in damaged_votes(path)[0].reason
    path.write_bytes(re.sub(rb', "crc32": \d+', b"", path.read_bytes()))  # as in older versions
    assert [vote.vote for vote in read_votes(path)] == ["b", "a"]


def test_of_two_votes_on_a_question_the_newest_is_trained_on(path):
    cast(path, 0, "a")
    append_vote(path, Vote.cast(replace(question(0), a="bad.", b="good."), "a"))  # sides exchanged
    cast(path, 1)
    found = votes_to_pairs(path)
    assert [(pair.row, pair.chosen) for pair in found.pairs] == [(2, "bad."), (3, "good.")]
    assert found.skipped == [SkippedRow(1, "voted on again in line 2")]
    undo_vote(path, question(0))
    assert [(pair.row, pair.chosen) for pair in votes_to_pairs(path).pairs] == [
        (1, "good."), (3, "good.")
    ]  # fmt: skip


def test_cut_undo_takes_nothing_back_and_zeros_are_no_line(path):
    vote = cast(path, 0)
    undo_vote(path, vote)
    path.write_bytes(path.read_bytes()[:-9])
    assert read_votes(path) == [vote]
    path.write_bytes(path.read_bytes() + b"\n\0\0\0\0")
    new = cast(path, 1)
    assert read_votes(path) == [vote, new]


VOTER = """
import sys
from workbench.feedback.votes import Question, Vote, append_vote
for number in range(10**9):
    prompt = f"{sys.argv[2]} {number}"
    question = Question(prompt, "good " * 99, "bad " * 99, "policy", "reference")
    append_vote(sys.argv[1], Vote.cast(question, "a"))
    print(number, flush=True)
"""


def test_votes_of_two_processes_survive_their_kills(path):
    voters = {
        name: subprocess.Popen([sys.executable, "-c", VOTER, path, name], stdout=subprocess.PIPE)
        for name in ("one", "two")
    }
    begun = {name: [voter.stdout.readline() for _ in range(20)] for name, voter in voters.items()}
    for name, voter in voters.items():
        voter.kill()
        printed = [int(line) for line in [*begun[name], *voter.communicate()[0].split()]]
        found = [vote.prompt for vote in read_votes(path) if vote.prompt.startswith(name)]
        assert found[: len(printed)] == [f"{name} {number}" for number in printed]
        assert len(found) - len(printed) in (0, 1)  # written, but killed before it was printed
    assert len(damaged_votes(path)) <= 2
    before = read_votes(path)
    new = cast(path, -1)
    assert read_votes(path) == [*before, new]


def test_frame_has_the_columns_that_win_rates_take(path):
    cast(path, 0, "tie")
    frame = votes_frame(path)
    assert tuple(frame.columns) == COLUMNS
    assert frame.loc[0].to_dict() == {
        "prompt": "prompt 0", "a": "good.", "b": "bad.", "name_a": "policy",
        "name_b": "reference", "vote": "tie", "round": 1,
    }  # fmt: skip
    assert tuple(votes_frame(open_votes(path.with_name("none.jsonl"))).columns) == COLUMNS


def test_votes_for_a_side_become_pairs_and_the_rest_is_counted(path, tmp_path):
    for number, choice in enumerate(["a", "b", "tie", "bad"]):
        cast(path, number, choice)
    cast(path, 4, a=" ")
    cast(path, 5, b="good.")
    cast(path, 6, a="\ud800")
    cast(path, 7, round=2)
    found = votes_to_pairs(path, round=1)
    assert found.pairs == [
        TextPair("prompt 0", "good.", "bad.", 1), TextPair("prompt 1", "bad.", "good.", 2)
    ]  # fmt: skip
    assert found.skipped == [
        SkippedRow(3, "a tie: neither is better"),
        SkippedRow(4, "both bad: neither is chosen"),
        SkippedRow(5, "a is empty"),
        SkippedRow(6, "the answers are identical"),
        SkippedRow(7, "a holds half of a Unicode character"),
    ]
    assert len(votes_to_pairs(path).pairs) == 3
    write_jsonl(found.pairs, tmp_path / "pairs.jsonl")
    assert [pair.chosen for pair in read_pairs(tmp_path / "pairs.jsonl").pairs] == ["good.", "bad."]


def test_sides_are_drawn_by_chance_and_repeatably():
    names = ("policy", "reference")
    drawn = [Question.shuffled("p", f"{n} one", f"{n} two", names, 0) for n in range(200)]
    assert drawn == [Question.shuffled("p", f"{n} one", f"{n} two", names, 0) for n in range(200)]
    assert 70 < sum(question.name_a == "policy" for question in drawn) < 130
    for question in drawn:
        texts = {question.name_a: question.a, question.name_b: question.b}
        assert texts["policy"].endswith("one")


LINE = json.dumps(asdict(Vote.cast(QUESTION, "a")))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"prompt": "p", "chosen": "a", "rejected": "b"}\n', "line 1: a is missing"),
        (LINE + "\nhello\n", "line 2: it is not JSON"),
        ("[1, 2]\n", "line 1: it is list"),
        ('{\n "cells": []\n}\n', "line 2: it is not JSON"),
        (LINE.replace('"vote": "a"', '"vote": "c"'), "one of a, b, tie, bad"),
        (LINE.replace('"seed": 3', '"seed": "3"'), "seed is str"),
        (LINE.replace('"seed": 3', '"seed": true'), "seed is bool"),
        ('{"undo": 3}\n', "line 1: it undoes something that is not a question"),
        ("\x89PNG\n", "line 1: it is not JSON"),
    ],
)
def test_what_is_no_file_of_votes_is_refused_and_left_alone(path, content, why):
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WorkbenchError, match=why) as raised:
        open_votes(path)
    assert "\n" not in str(raised.value)
    assert path.read_text(encoding="utf-8") == content


def test_byte_order_mark_and_other_line_ends_are_fine(path):
    path.write_bytes(b"\xef\xbb\xbf" + LINE.encode() + b"\r\n\r\n")
    assert len(read_votes(path)) == 1


def test_paths_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "votes.jsonl", tmp_path):
        with pytest.raises(WorkbenchError, match=r"votes can.t be written to .*choose another"):
            open_votes(path)
        with pytest.raises(WorkbenchError, match="can't be written"):
            append_vote(path, Vote.cast(QUESTION, "a"))
    with pytest.raises(WorkbenchError, match="no file"):
        read_votes(tmp_path / "missing.jsonl")
    with pytest.raises(WorkbenchError, match="cannot read"):
        read_votes(tmp_path)


def test_unknown_vote_is_refused():
    with pytest.raises(WorkbenchError, match="vote='c' is not accepted: one of a, b, tie, bad"):
        Vote.cast(QUESTION, "c")
