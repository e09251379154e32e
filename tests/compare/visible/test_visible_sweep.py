"""The sweep's table, on a very small model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.compare.visible import change_measures
from workbench.compare.visible.change_measures import unseen_prompts
from workbench.compare.visible.facts import read_facts
from workbench.compare.visible.preset_sweep import visible_sweep
from workbench.generation.config import SamplingConfig
from workbench.models.load import Model


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short answers."""
    for name, temperature in (("GREEDY", 0), ("AT_ONE", 1)):
        sampling = SamplingConfig(temperature=temperature, max_new_tokens=12)
        monkeypatch.setattr(change_measures, name, sampling)


@pytest.mark.usefixtures("short")
def test_each_run_is_a_row_with_its_answers(base: Model, tmp_path: Path) -> None:
    words = ["good", "bad", "great", "the", "was", "room", "staff", "and"]
    rows = [
        {"prompt": f"{one} {two}", "chosen": one, "rejected": f"{one} {two} the {one}"}
        for one in words
        for two in words
        if one != two
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:20]))
    small = {"data": str(path), "held_out": 4, "batch_size": 8, "model": "tiny"}
    asked = {"prompts": unseen_prompts()[:8], "facts": read_facts()[:3]}
    *_, (table, answers) = visible_sweep([1e-3], [0.1, 0.5], [1, 2], base, **asked, **small)
    assert table[["beta", "epochs", "steps"]].to_numpy().tolist() == [
        [0.1, 1, 2], [0.5, 1, 2], [0.1, 2, 4], [0.5, 2, 4]
    ]  # fmt: skip
    assert table["kl"].between(0, 1000).all()
    assert answers["prompt"].to_list() == 4 * asked["prompts"]
    again = answers[(answers.beta == 0.1) & (answers.epochs == 2)]
    shorter = again["after"].str.split().str.len() < again["before"].str.split().str.len()
    empty = again["after"] == ""
    assert table.iloc[2]["told/fewer words"] == pytest.approx((shorter & ~empty).mean())
