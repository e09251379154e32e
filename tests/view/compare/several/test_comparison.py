"""Several models in one table: what it is given, what a row opens, what a selection saves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.compare.handle_sources import run_handles
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run
from workbench.view.compare.several import comparison
from workbench.view.compare.several.comparison import Comparison, compare_answers, compare_runs
from workbench.view.compare.several.comparison_data import as_json
from workbench.view.html.render import verbatim

SAMPLING = SamplingConfig(max_new_tokens=6)
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(1)">'


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    return make_run(held_out=4)


@pytest.fixture
def compared(run: Run, make_run: Callable[..., Run], tmp_path: Path) -> Comparison:
    other = make_run(lr=5e-2, max_steps=2, samples=0)
    list(other)
    view = compare_runs([run, other], sampling=SAMPLING)
    view.folder = tmp_path
    return view


def column(view: Comparison, title: str, group: str = "") -> list[Any]:
    (found,) = (
        one["values"] for one in view.table.data["columns"]
        if (one["title"], one["group"]) == (title, group)
    )  # fmt: skip
    return found


def test_runs_are_named_apart_and_compared_with_the_first_reference(
    compared: Comparison, run: Run
) -> None:
    assert compared.table.data["names"] == ["reference", run.name, f"{run.name} (2)"]
    assert column(compared, "prompt") == run.prompts[:8]
    assert column(compared, "KL", run.name) == pytest.approx([0.0] * len(run.prompts), abs=1e-3)
    assert max(column(compared, "KL", f"{run.name} (2)")) > 0.01


def test_a_run_is_its_policy_beside_its_reference(run: Run, monkeypatch: Any) -> None:
    kept: list[dict[str, Any]] = []
    monkeypatch.setattr(comparison, "display", lambda bundle, raw: kept.append(bundle))
    view = compare_answers(run)
    assert view.table.data["names"] == ["reference", "policy"]
    view._ipython_display_()
    assert kept[0]["text/html"] == verbatim(view.html)
    assert "temperature 1, as samples of its own distribution" in view.html
    assert "application/vnd.jupyter.widget-view+json" in kept[0]


def test_a_row_opens_its_tokens(compared: Comparison) -> None:
    place = int(compared.frame["place"].iloc[-1])
    compared._receive({"open": place})
    whose, shown = compared.tokens.children
    assert whose.options == tuple(compared.table.data["names"][:0:-1])
    assert shown.children


def test_a_selection_is_saved(compared: Comparison, monkeypatch: Any) -> None:
    said: list[str] = []
    monkeypatch.setattr(compared.table, "send", lambda message: said.append(message["text"]))
    places, names = compared.table.data["places"], compared.table.data["names"]
    asked = {"places": places[:2], "chosen": names[-1], "rejected": names[0]}
    compared._receive({"save": {"kind": "prompts", **asked}})
    lines = (compared.folder / "selected_prompts.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == column(compared, "prompt")[:2]
    compared._receive({"save": {"kind": "pairs", **asked, "chosen": "nobody"}})
    assert said[0].startswith("2 prompts written to")
    assert said[1].startswith("'nobody' can't be chosen")


def test_no_run_is_refused() -> None:
    with pytest.raises(WorkbenchError, match="runs is empty"):
        run_handles([])


def test_nothing_in_the_data_ends_its_script_element() -> None:
    text = as_json({"a": HOSTILE, "b": "\u2028 \ud800"})
    assert "<" not in text
    assert json.loads(text)["a"] == HOSTILE
