"""From before to after: circles at the values, numbers beside them, the first run on top."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from workbench.view.lessons.before_after import before_after_figure, draw_before_after
from workbench.view.plot.primitives import GUIDE

FRAME = pd.DataFrame(
    [("short", "reward", -0.12, 0.5), ("long", "reward", 0.99, 0.98)],
    columns=["run", "metric", "before", "after"],
)


def test_a_row_a_run_with_both_numbers() -> None:
    axes = Figure().subplots()
    assert draw_before_after(FRAME, axes) is axes
    points = [line.get_xydata().tolist()[0] for line in axes.lines if line.get_gid() != GUIDE]
    assert points == [[-0.12, 1.0], [0.5, 1.0], [0.99, 0.0], [0.98, 0.0]]
    written = [text for text in axes.texts if text.get_text()]
    assert [text.get_text() for text in written] == ["−0.12", "0.50", "0.99", "0.98"]
    # Each number stands on its circle's outer side, whichever way the run went.
    assert [text.get_ha() for text in written] == ["right", "left", "left", "right"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["short", "long"]


def test_an_arrow_where_there_is_room_for_one() -> None:
    axes = Figure().subplots()
    draw_before_after(FRAME, axes)
    assert sum(text.arrow_patch is not None for text in axes.texts) == 1


@pytest.mark.parametrize("metrics", [["reward"], ["reward", "share"]])
def test_a_panel_a_metric(metrics: list[str]) -> None:
    figure = before_after_figure(pd.concat([FRAME.assign(metric=metric) for metric in metrics]))
    assert [axes.get_title("left") for axes in figure.axes] == metrics
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["before", "after"]
    assert figure.get_size_inches().tolist() == pytest.approx([9.4, 1.87])
