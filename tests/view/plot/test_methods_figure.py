"""The figure of methods at equal KL draws what the comparison reads."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from workbench.runs.equal_kl.method_comparison import MethodComparison
from workbench.view.html.images import png
from workbench.view.plot.methods_figure import COLOURS, draw_methods

LOSSES = {"dpo": 4.0, "ipo": 2.0, "kto": 3.0}  # and the KL that each reaches


@pytest.fixture
def comparison() -> MethodComparison:
    rows = [
        {"loss": loss, "value": 0.1, "seed": seed, "step": step, "kl": kl, "reward": seed * kl}
        for loss, reach in LOSSES.items()
        for seed in (1, 2)
        for step, kl in enumerate((0.0, 1.0, reach))
    ]
    return MethodComparison(pd.DataFrame(rows), "reward")


def test_one_line_and_band_per_method_as_far_as_it_reaches(comparison: MethodComparison) -> None:
    (axes,) = draw_methods(comparison).axes
    lines = {line.get_label(): line for line in axes.lines if line.get_label() in LOSSES}
    curves = dict(tuple(comparison.curves().groupby("loss")))
    assert lines.keys() == LOSSES.keys()
    assert len(axes.collections) == 3
    for (loss, reach), band in zip(LOSSES.items(), axes.collections, strict=True):
        x, y = lines[loss].get_data()
        assert max(x) == reach
        assert list(y) == list(curves[loss]["mean"])
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == curves[loss]["low"].min()
        assert heights.max() == curves[loss]["high"].max()
    looks = {(line.get_color(), str(line.get_linestyle())) for line in lines.values()}
    assert len(looks) == 3
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(LOSSES)


@pytest.mark.parametrize(("kl", "marked"), [(None, 2.0), (1.5, 1.5)])
def test_the_kl_at_which_they_are_compared_is_marked(
    comparison: MethodComparison, kl: float | None, marked: float
) -> None:
    (axes,) = draw_methods(comparison, kl).axes
    assert [list(line.get_xdata()) for line in axes.lines][-1] == [marked, marked]
    assert [text.get_text() for text in axes.texts] == [f"compared at {marked:.3g}"]


def test_the_picture_keeps_the_colours_of_the_lines() -> None:
    """Although many bands lie over each other, and a saved picture has few colours."""
    rows = [
        {"loss": loss, "value": 0.1, "seed": seed, "step": step, "kl": kl, "reward": reward}
        for shift, loss in enumerate(("dpo", "ipo", "kto", "simpo", "hinge", "cdpo"))
        for seed in range(3)
        for step, kl in enumerate(np.linspace(0, 4, 9))
        for reward in [kl**0.5 * (1 + 0.1 * shift) + 0.3 * np.cos(7 * seed + shift * kl)]
    ]
    data = png(draw_methods(MethodComparison(pd.DataFrame(rows), "reward")))
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float) / 255
    for colour in COLOURS[:6]:
        assert np.abs(pixels - to_rgb(colour)).max(-1).min() < 0.1


def test_it_is_a_picture_that_reads_on_any_page(comparison: MethodComparison) -> None:
    figure = draw_methods(comparison)
    assert figure.get_facecolor() == (1, 1, 1, 1), "opaque, whatever is behind it"
    colours = np.array([to_rgb(colour) for colour in COLOURS])
    apart = np.abs(colours[:, None] - colours).max(-1) + np.eye(len(colours))
    assert apart.min() > 0.2, "no two colours are nearly the same"


def test_methods_that_do_not_move_are_drawn(comparison: MethodComparison) -> None:
    still = comparison.frame.assign(kl=0.0)
    png(draw_methods(MethodComparison(still, "reward")))
