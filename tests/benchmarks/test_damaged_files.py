"""Damaged data files end in one line each, and the fuzzing sees what goes wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks import damaged_files
from benchmarks.damaged_files import run
from workbench.data.pairs import PairFile, read_pairs
from workbench.errors import WorkbenchError


def test_hundreds_of_damaged_files_are_read_or_refused_in_one_line() -> None:
    told: list[str] = []
    assert run(400, 70_000, told.append) == 0, "\n".join(told)


def lose_a_row(*arguments: Any) -> PairFile:
    file = read_pairs(*arguments)
    return replace(file, pairs=file.pairs[1:])


def raise_otherwise(*arguments: Any) -> PairFile:
    raise KeyError("chosen")


def leave_out_the_name(*arguments: Any) -> PairFile:
    raise WorkbenchError("no known layout")


@pytest.mark.parametrize("fault", [lose_a_row, raise_otherwise, leave_out_the_name])
def test_what_goes_wrong_is_seen(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    monkeypatch.setattr(damaged_files, "read_pairs", fault)
    assert run(60, 0, lambda text: None) > 0
