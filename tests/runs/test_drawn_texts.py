"""The texts that a base model writes as data are written once, then read from the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.runs import run_data
from workbench.runs.run import Run
from workbench.runs.run_data import remembered


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """How many texts the model was asked for, call by call; the cache is empty."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    calls: list[int] = []
    write = run_data.write_answers

    def counted(model: Any, prompts: Any, *how: Any) -> list[str]:
        calls.append(len(prompts))
        return write(model, prompts, *how)

    monkeypatch.setattr(run_data, "write_answers", counted)
    return calls


def test_the_same_texts_are_not_written_twice(
    make_run: Callable[..., Run], written: list[int]
) -> None:
    first = make_run(pairs_from="reference")
    assert written
    calls = len(written)
    again = make_run(pairs_from="reference")
    assert len(written) == calls
    assert again.data.train == first.data.train
    assert again.data.held_out_texts == first.data.held_out_texts


def test_other_weights_write_their_own_texts(
    make_run: Callable[..., Run], written: list[int]
) -> None:
    first = make_run(pairs_from="reference")
    calls = len(written)
    list(first)  # the policy is another model now
    list(Run.create(first.config, base=first.model))
    assert len(written) > calls


@pytest.mark.parametrize("spoilt", ["", "{", "[1]", '{"a": 1}'])
def test_what_is_no_list_of_texts_is_written_anew(written: list[int], spoilt: str) -> None:
    assert remembered("key", lambda: ["a", "b"]) == ["a", "b"]
    assert remembered("key", lambda: ["c"]) == ["a", "b"]
    (file,) = (Path(run_data.cache_folder()) / "drawn").iterdir()
    file.write_text(spoilt or file.read_text().replace('"a"', '"x"'), encoding="utf-8")
    with pytest.warns(UserWarning, match="is damaged and kept as"):
        assert remembered("key", lambda: ["c"]) == ["c"]
    assert remembered("key", lambda: ["d"]) == ["c"]
