"""Answers along the checkpoints: the slider answers, and what is saved reads without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.models.load import save_model
from workbench.runs.run import Run
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig
from workbench.view.compare.checkpoint_slider import (
    BEFORE,
    REFERENCE,
    CheckpointSlider,
    checkpoint_slider,
)
from workbench.view.html.render import verbatim

SAMPLING = SamplingConfig(max_new_tokens=8)
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded run of a small model that was never pretrained, with three checkpoints."""
    place = tmp_path_factory.mktemp("runs")
    world = ReviewsConfig(pairs=48, topics=4)
    base = new_model(Reviews(world), BaseConfig(dim=16, layers=1, hidden_dim=24))
    save_model(base, place / "base")
    config = TrainConfig(
        model=str(place / "base"), out=str(place / "run"), world=world, pairs_from="grammar",
        batch_size=8, epochs=2, held_out=12, samples=4, eval_every=4, checkpoint_every=4,
        max_new_tokens=8, lr=3e-2, warmup=1, max_length=64,
    )  # fmt: skip
    list(Run.create(config))
    return place / "run"


@pytest.fixture
def fallback(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], dict[str, Any]]:
    """What a cell keeps of a widget."""
    kept: list[dict[str, Any]] = []
    where = "workbench.view.compare.checkpoint_slider.display"
    monkeypatch.setattr(where, lambda bundle, raw: kept.append(bundle))

    def show(widget: Any) -> dict[str, Any]:
        widget._ipython_display_()
        return kept[-1]

    return show


def test_the_slider_shows_the_answers_of_its_step(
    folder: Path, fallback: Callable[[Any], dict[str, Any]]
) -> None:
    view = checkpoint_slider(folder, sampling=SAMPLING)
    assert view.steps == [0, 4, 8, 10]
    frame = view.frame
    for step in view.steps:
        for against in (REFERENCE, BEFORE):
            view.set(step=step, against=against)
            assert f"step {step} of 10" in view.shown
    view.set(step=8)
    assert "<th" in view.shown
    assert "<bdi>step 4</bdi></th>" in view.shown
    assert "held out" not in view.shown
    assert "loss" in view.shown
    kept = fallback(view)["text/html"]
    assert kept == verbatim(view.history)
    assert kept.count("<tr>") == 1 + len(view.steps) * frame["prompt"].nunique()
    for step in view.steps[1:]:
        assert f"step {step}" in kept


def test_where_nothing_was_evaluated_nothing_is_claimed(folder: Path) -> None:
    view = checkpoint_slider(folder, ["review of the film:"], SAMPLING)
    assert "not evaluated" in CheckpointSlider(view.frame, {}).shown


def test_hostile_texts_stay_text(folder: Path) -> None:
    view = checkpoint_slider(folder, sampling=SAMPLING)
    frame = view.frame.assign(text=HOSTILE + view.frame["text"], prompt=HOSTILE)
    slider = CheckpointSlider(frame, {})
    for markup in (slider.shown, slider.history):
        assert "<script" not in markup
        assert "<img" not in markup
        assert "&lt;script&gt;" in markup


def test_a_run_without_a_checkpoint_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text((folder / "config.toml").read_text())
    with pytest.raises(WorkbenchError, match="no checkpoint yet"):
        checkpoint_slider(tmp_path)
    with pytest.raises(WorkbenchError, match="holds no run"):
        checkpoint_slider(tmp_path / "nothing")
