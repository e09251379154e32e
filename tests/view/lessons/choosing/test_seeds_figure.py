"""The runs of a sweep as points: the last evaluation of each, none left out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from workbench.errors import WorkbenchError
from workbench.runs.exact.exact_sweep import KL
from workbench.view.lessons.choosing.seeds_figure import PANELS, seeds_figure


def frame(losses: tuple[str, ...]) -> pd.DataFrame:
    """KL seed + beta at the end of each run, 99 before."""
    rows = [
        {"loss": loss, "beta": beta, "seed": seed, "step": step, **dict.fromkeys(PANELS, 0.5)}
        | {KL: seed + beta if step else 99.0}
        for loss, beta, seed, step in product(losses, (0.1, 1.0), (1, 2), (0, 8))
    ]
    return pd.DataFrame(rows)


def test_every_run_is_a_point_and_means_are_joined() -> None:
    figure = seeds_figure(frame(("dpo", "kto")))
    panel = figure.axes[0]
    points = {line.get_gid(): line for line in panel.lines if line.get_gid() in ("dpo", "kto")}
    for line in points.values():
        assert sorted(line.get_ydata()) == pytest.approx([1.1, 2.0, 2.1, 3.0])
    means = [line.get_ydata() for line in panel.lines if line not in points.values()]
    assert [list(values) for values in means] == [pytest.approx([1.6, 2.5])] * 2
    assert {text.get_text() for text in panel.texts} == {"● dpo", "■ kto"}


@pytest.mark.parametrize("losses", [("dpo", "kto"), ("dpo_norm", "kto", "simpo")])
def test_the_names_leave_the_title_free(losses: tuple[str, ...]) -> None:
    figure = seeds_figure(frame(losses))
    panel, renderer = figure.axes[0], figure.canvas.get_renderer()
    right = panel._left_title.get_window_extent(renderer).x1
    assert min(text.get_window_extent(renderer).x0 for text in panel.texts) > right + 4


def test_points_of_two_losses_do_not_cover_each_other() -> None:
    lines = {line.get_gid(): line for line in seeds_figure(frame(("dpo", "kto"))).axes[0].lines}
    dpo, kto = (np.sort(lines[name].get_xdata()) for name in ("dpo", "kto"))
    assert (dpo < kto).all()


def test_more_losses_than_looks_are_told() -> None:
    with pytest.raises(WorkbenchError, match="4 losses are too many; up to 3 are drawn"):
        seeds_figure(frame(("dpo", "kto", "ipo", "simpo")))
