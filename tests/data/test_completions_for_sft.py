"""Supervised training wants desirable completions alone: labels may be missing, false ones go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.data.completions import read_completions
from workbench.errors import WorkbenchError


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_label_may_be_missing(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", {"prompt": "p", "completion": "c"})
    (text,), skipped, _ = read_completions(file, labelled=False)
    assert (text.prompt, text.completion, text.label, skipped) == ("p", "c", True, [])
    with pytest.raises(WorkbenchError, match="no column 'label'"):
        read_completions(file)


def test_rows_that_are_not_desirable_are_skipped_with_the_reason(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "completion": f"c{i}", "label": i == 1} for i in range(3)]
    texts, skipped, _ = read_completions(write(tmp_path / "a.jsonl", *rows), labelled=False)
    assert [text.completion for text in texts] == ["c1"]
    assert [row.row for row in skipped] == [1, 3]
    assert "not desirable" in skipped[0].reason


def test_of_pairs_the_chosen_are_taken(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", {"prompt": "p", "chosen": "good", "rejected": "bad"})
    texts, skipped, _ = read_completions(file, labelled=False)
    assert [text.completion for text in texts] == ["good"]
    assert skipped == []
