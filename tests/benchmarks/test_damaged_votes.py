"""Damaged files of votes and journals are read or refused in one line, and faults are seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import damaged_votes
from benchmarks.damaged_votes import run
from workbench.data.pairs import PairFile
from workbench.errors import WorkbenchError
from workbench.feedback import json_log
from workbench.feedback.votes import Vote, read_votes, votes_to_pairs


def test_hundreds_of_damaged_files_are_read_or_refused_in_one_line() -> None:
    told: list[str] = []
    assert run(300, 90_000, told.append) == 0, "\n".join(told)


def lose_a_pair(path: Path) -> PairFile:
    file = votes_to_pairs(path)
    return replace(file, pairs=file.pairs[1:])


def turn_round(path: Path) -> PairFile:
    file = votes_to_pairs(path)
    turned = [replace(p, chosen=p.rejected, rejected=p.chosen) for p in file.pairs]
    return replace(file, pairs=turned)


def vote_otherwise(path: Path) -> list[Vote]:
    return [replace(vote, prompt="another") for vote in read_votes(path)]


def leave_out_the_name(*arguments: Any) -> Any:
    raise WorkbenchError("not a file of votes")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("votes_to_pairs", lose_a_pair),
        ("votes_to_pairs", turn_round),
        ("read_votes", vote_otherwise),
        ("open_votes", leave_out_the_name),
    ],
)
def test_what_goes_wrong_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, fault: Any) -> None:
    monkeypatch.setattr(damaged_votes, name, fault)
    assert run(40, 0, lambda text: None) > 0


def test_without_checksums_another_verdict_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_log.zlib, "crc32", lambda content: 7)
    assert run(150, 0, lambda text: None) > 0
