"""What a run changed, in words: the figures are those that were measured."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from workbench.compare.visible.preset_sweep import SWEPT, measured_sweep
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.runs.run import Run
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import PRESETS, TrainConfig
from workbench.view.compare import what_changed as module
from workbench.view.compare.what_changed import sweep_table, what_changed

ANSWERS = pd.DataFrame(
    {
        "prompt": ["a", "b", "c", "d"],
        "before": ["one two three", "one two", "one <b>two", "one two three"],
        "after": ["one", "one two", "one", ""],
    }
)
FACTS = pd.DataFrame(
    {
        "question": ["Gold?", "France & co?", "Night?"],
        "before": ["Au", "Paris", "Day"],
        "after": ["Au", "Lyon", "Noon"],
        "right_before": [True, True, False],
        "right_after": [True, False, False],
    }
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(module, "unseen_prompts", lambda: list(ANSWERS["prompt"]))
    monkeypatch.setattr(module, "answers_before_and_after", lambda run, prompts: ANSWERS)
    monkeypatch.setattr(module, "facts_before_and_after", lambda run: FACTS)
    return made()


def made(**settings: Any) -> Run:
    """Of one step with a model of its own."""
    world = ReviewsConfig(pairs=48, topics=4)
    short = {"batch_size": 8, "held_out": 12, "samples": 0, "max_steps": 1}
    config = TrainConfig(world=world, pairs_from="grammar", **short, **settings)
    return Run.create(
        config, base=new_model(Reviews(world), BaseConfig(dim=32, layers=1, hidden_dim=48))
    )


def test_figures_are_those_of_answers_and_facts(run: Run) -> None:
    """Shorter in two of four, as long in one, silent in one: the rule tells two."""
    html = what_changed(run)
    told, *_ = [line for line in html.split("<tr") if "the rule tells" in line]
    assert "2 (50%; 95% interval from 15%)" in told
    right, *_ = [line for line in html.split("<tr") if "facts right, of 3" in line]
    assert ">2<" in right
    assert ">1<" in right


def test_only_facts_that_were_lost_are_listed_and_texts_are_escaped(run: Run) -> None:
    html = what_changed(run)
    assert "France &amp; co?" in html
    assert "Gold?" not in html
    assert "Night?" not in html
    assert "&lt;b&gt;two" in html
    assert "<b>two" not in html
    assert "<del" not in html


def test_the_row_of_the_preset_is_named_in_the_sweep() -> None:
    rows = measured_sweep()
    first, *lines = sweep_table(rows).split("<tr")[1:]
    assert "preset" in first
    assert len(lines) == len(rows)
    (named,) = [number for number, line in enumerate(lines) if "visible" in line]
    row, settings = rows.iloc[named], PRESETS["visible"].settings
    assert all(row[name] == settings[name] for name in ("ld_alpha", "lr", "beta", "epochs"))


def test_the_preset_alone_reaches_what_it_promises() -> None:
    """As measured: nine in ten told, KL below 10 nats, all facts kept, in five minutes."""
    settings = PRESETS["visible"].settings
    rows = measured_sweep()
    told = rows[["told/fewer words", "told/reward model"]].min(axis="columns") >= 0.9
    kept = rows["facts_before"] == rows["facts_after"]
    (row,) = rows[told & kept & (rows["kl"] < 10) & (rows["seconds"] < 300)].to_dict("records")
    assert {name: row[name] for name in SWEPT} == {name: settings[name] for name in SWEPT}


@pytest.mark.parametrize("loss", ["dpo", "simpo"])
def test_a_run_is_asked_itself(loss: str) -> None:
    """Nothing stands in for the run: an untrained model knows no fact."""
    run = made(loss=loss)
    for _ in run:
        pass
    html = what_changed(run)
    assert "wb-change" in html
    assert "facts right, of 40" in html
    assert "prompts, of 48" in html
    assert "nan" not in html
