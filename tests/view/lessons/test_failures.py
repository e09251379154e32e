"""Runs that fail, drawn over the steps and over the KL."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from workbench.view.lessons.failures import LOOKS, TITLES, failures_figure


@pytest.fixture
def frame() -> pd.DataFrame:
    """Two losses, two seeds, three evaluations."""
    rows = [
        {"loss": loss, "seed": seed, "step": step, "kl": scale * step + seed,
         "margin": scale * step - seed, "train_margin": np.nan if step == 0 else step}
        for loss, scale in (("dpo", 3.0), ("ipo", 1.0)) for seed in (0, 1) for step in (0, 8, 16)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_thin_line_for_each_seed_and_the_mean_of_each_loss(frame: pd.DataFrame) -> None:
    figure = failures_figure(frame, "margin")
    steps, distance = figure.axes
    for axes, across in ((steps, (0, 8, 16)), (distance, (0.5, 24.5, 48.5))):
        assert len(axes.lines) == 6
        mean = next(line for line in axes.lines if line.get_label() == "dpo")
        np.testing.assert_allclose(mean.get_xdata(), across)
        np.testing.assert_allclose(mean.get_ydata(), [-0.5, 23.5, 47.5])
    assert steps.get_title("left") == TITLES["margin"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dpo", "ipo"]
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()


def test_evaluations_without_the_number_are_left_out(frame: pd.DataFrame) -> None:
    axes = failures_figure(frame, "train_margin").axes[0]
    assert all(list(line.get_xdata()) == [8, 16] for line in axes.lines)


def test_every_loss_has_a_colour_and_a_mark_of_its_own() -> None:
    assert len({colour for colour, _ in LOOKS}) == len({mark for _, mark in LOOKS}) == len(LOOKS)
