"""Is the policy better than its reference? One row per judge, in one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.compare.judging.win_rate import Judged, rates_frame
from workbench.view.controls.explorer import Explorer, slider
from workbench.view.plot import primitives
from workbench.view.plot.primitives import BLUE, INK, MUTED, PINK, Values, move_line, move_texts

WIDTH, ROW, AROUND = 760, 92, 96  # pixels
FEWEST = 8  # answers at the lower end of the slider
NAME, RATE, CONTROLLED, ABOUT = -0.36, -0.1, 0.14, 0.38  # heights of the lines of a row
RIGHT = 1.03  # where the numbers begin, as a share of the axes' width


def explore_win_rates(judged: Judged) -> Explorer:
    """How often one model beats the other, by every judge, with a slider for how many count.

    Args:
        judged: of `judge_models`, or of votes.
    """
    rows, most = len(judged.outcomes), max(map(len, judged.outcomes.values()))
    figure, (axes,) = primitives.new_figure(size=(WIDTH, AROUND + ROW * rows))
    above, below = 42 / (AROUND + ROW * rows), 50 / (AROUND + ROW * rows)
    figure.subplots_adjust(0.03, below, 0.66, 1 - above)

    def draw(answers: int) -> Figure:
        win_rates(rates_frame(judged.first(answers)), axes)
        return figure

    counted = slider(most, min(FEWEST, most), most, 1, "answers counted")
    return Explorer(draw, answers=counted.add_class("wb-answers"))


def win_rates(frame: pd.DataFrame, axes: Axes) -> Axes:
    """The frame of `rates_frame`: one row per judge, the rate with its interval.

    A filled mark is the rate as it was judged, a hollow one the rate at equal length. The dotted
    line is one half, where neither is better.
    """
    heights = np.arange(len(frame), dtype=float)
    if not axes.texts:
        axes.axvline(0.5, gid=primitives.GUIDE, color=MUTED, linewidth=1.2, linestyle=":", zorder=1)
        axes.set(xlim=(0, 1), ylim=(len(frame) - 0.42, -0.5), yticks=[])
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
        axes.spines["left"].set_visible(False)
        across = "share of wins, ties counted as half, with 95% intervals"
        primitives.name_axes(axes, _title(frame), across)
        axes.title.set_parse_math(False)
    draw_interval(axes, "rate", heights + RATE, frame, ("rate", "low", "high"), BLUE)
    columns = ("controlled", "controlled_low", "controlled_high")
    draw_interval(axes, "controlled", heights + CONTROLLED, frame, columns, PINK, hollow=True)
    left: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "parse_math": False}
    left |= {"va": "center", "fontsize": 9}
    rows = [row for _, row in frame.iterrows()]
    for key, x, height, texts, look in (
        ("judges", 0.0, NAME, list(frame["judge"]), {"fontweight": "bold", "color": INK}),
        ("counts", RIGHT, NAME, [_counts(row) for row in rows], {"color": INK}),
        ("rates", RIGHT, RATE, [_number(row, "rate", "low", "high", "●", "as judged")
                                for row in rows], {"color": BLUE}),
        ("equal", RIGHT, CONTROLLED, [_number(row, *columns, "○", "at equal length")
                                      for row in rows], {"color": PINK}),
        ("about", RIGHT, ABOUT, [_words(row) for row in rows], {"color": MUTED}),
        ("notes", 0.0, ABOUT, [_notes(row) for row in rows], {"color": MUTED}),
    ):  # fmt: skip
        where = [(x, row + height) for row in heights]
        move_texts(axes, key, where, texts, **{**left, **look})
    return axes


def draw_interval(
    axes: Axes,
    key: str,
    heights: Values,
    frame: pd.DataFrame,
    columns: tuple[str, str, str],
    colour: str,
    hollow: bool = False,
) -> None:
    """A mark at the first of the columns, a horizontal bar from the second to the third."""
    middle, low, high = (frame[column].to_numpy(float) for column in columns)
    ends = np.stack([low, high, np.full_like(low, np.nan)], axis=1).ravel()  # (row end)
    bar = {"color": colour, "linewidth": 2.0, "zorder": 2, "solid_capstyle": "butt"}
    move_line(axes, f"{key} bars", ends, np.repeat(heights, 3), **bar)
    face = "white" if hollow else colour
    mark = {"marker": "o", "markersize": 7.5, "markerfacecolor": face, "markeredgewidth": 1.6}
    move_line(axes, key, middle, heights, linestyle="none", color=colour, zorder=3, **mark)


def _title(frame: pd.DataFrame) -> str:
    return f"How often the {frame['a'].iloc[0]} beats the {frame['b'].iloc[0]}"


def _counts(row: pd.Series) -> str:
    parts = [_counted(row["wins"], "win"), _counted(row["ties"], "tie")]
    parts.append(_counted(row["losses"], "loss", "losses"))
    return ", ".join(parts)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _number(row: pd.Series, rate: str, low: str, high: str, mark: str, what: str) -> str:
    if np.isnan(row[rate]):
        return f"{mark} no verdict"
    return f"{mark} {row[rate]:.2f} ({row[low]:.2f} to {row[high]:.2f}) {what}"


def _words(row: pd.Series) -> str:
    return f"{row['length_a']:.1f} words per text against {row['length_b']:.1f}"


def _notes(row: pd.Series) -> str:
    without = f"{row['unjudged']} without a verdict" if row["unjudged"] else ""
    return ", ".join(part for part in (without, row["notes"]) if part)
