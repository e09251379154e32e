"""The parts of figures: lines that move, error bars, guides, limits that only grow.

Every helper may be called again on the same axes: it then moves what it drew before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from workbench.view.plot.history import History
from workbench.view.plot.quantities import HELD_OUT as HELD_OUT
from workbench.view.plot.run_style import BLUE as BLUE
from workbench.view.plot.run_style import GREEN as GREEN
from workbench.view.plot.run_style import ORANGE as ORANGE
from workbench.view.plot.run_style import run_style

PINK, SKY, BROWN = "#CC79A7", "#56B4E9", "#8A6100"  # the first two of Okabe and Ito 2008
INK, MUTED, FAINT = "#222222", "#6b6b6b", "#e4e4e4"
GUIDE, CHANGES = "guide", "changes"  # lines that are ignored by `fit_limits`
GROWTH = 0.8  # of the range, added on the side that has become too narrow
SHORT = 100  # steps; a longer run shows first an eighth of its axis, then a quarter, and so on

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ModelLook:
    """Colour, hatch and dashes of one model; the same in every figure, and apart in grey, too."""

    colour: str
    hatch: str
    dashes: Any

    @property
    def bars(self) -> dict[str, Any]:
        """Keywords of bars: hatched ones are white behind the hatch."""
        face = "white" if self.hatch else self.colour
        return {"facecolor": face, "edgecolor": self.colour, "hatch": self.hatch}

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of a line."""
        return {"color": self.colour, "linestyle": self.dashes, "linewidth": 2.0}


REFERENCE = ModelLook(ORANGE, "////", (0, (5, 2)))
POLICY = ModelLook(BLUE, "", "-")
OPTIMUM = ModelLook(GREEN, "xxxx", (0, (5, 2, 1, 2)))  # pi*
# Of what is no model, so that none of the three colours above means two things in a figure.
REWARD, COST, CHOSEN, REJECTED = "#A6467F", BROWN, INK, PINK


def new_figure(
    columns: int = 1, size: tuple[int, int] = (760, 320), rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure of `size` pixels on an opaque background, with plain axes, row by row."""
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    every = list(figure.subplots(rows, columns, squeeze=False).flatten())
    for axes in every:
        axes.grid(True, color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#b5b5b5")
        axes.tick_params(left=False, bottom=False, labelsize=8.5, colors=MUTED, pad=3)
    return figure, every


def name_axes(axes: Axes, title: str, across: str = "", upwards: str = "") -> None:
    """Title and labels of both axes, in the look of every figure."""
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.set_xlabel(across, fontsize=9, color=MUTED)
    axes.set_ylabel(upwards, fontsize=9, color=MUTED)


def look_of(index: int, colour: str) -> dict[str, Any]:
    """Dashes and points of the run at this index."""
    dashes = ("-", (0, (4, 2)), (0, (1, 1.5)))[min(index, 2)]
    face = colour if index == 0 else "white"
    return {"linestyle": dashes, "marker": "o", "markersize": 4.5, "markerfacecolor": face}


def move_line(axes: Axes, key: str, steps: ArrayLike, values: ArrayLike, **look: Any) -> None:
    """Move the line called `key` to the points, or add it."""
    line = next((line for line in axes.lines if line.get_gid() == key), None)
    if line is None:
        (line,) = axes.plot([], [], gid=key, **look)
    line.set_data(np.asarray(steps), np.asarray(values))  # matplotlib would go through a tensor


def move_bars(axes: Axes, key: str, heights: Values, lengths: Values, **look: Any) -> None:
    """Horizontal bars called `key`: give them these lengths, or add them at these heights."""
    bars = [bar for bar in axes.patches if bar.get_gid() == key]
    if not bars:
        bars = list(axes.barh(heights, np.zeros_like(heights), gid=key, **look))
    for bar, length in zip(bars, lengths, strict=True):
        bar.set_width(float(length))  # type: ignore[attr-defined]


def move_texts(
    axes: Axes, key: str, points: Sequence[tuple[float, float]], texts: Sequence[str], **look: Any
) -> None:
    """Texts called `key`: move them to these points and rewrite them, or add them."""
    written = [text for text in axes.texts if text.get_gid() == key]
    if not written:
        written = [axes.text(0, 0, "", gid=key, **look) for _ in points]
    for entry, point, text in zip(written, points, texts, strict=True):
        entry.set_position(point)
        entry.set_text(text)


def draw_training(history: History, axes: Axes, metric: str, colour: str) -> None:
    """One thin line per run for the training batches, and the points of the held-out pairs."""
    draw_batches(history, axes, metric, colour)
    draw_held_out(history, axes, HELD_OUT + metric, colour)


def draw_batches(history: History, axes: Axes, metric: str, colour: str, quantity: int = 0) -> None:
    """One thin line per run for the training batches; see `run_look`."""
    for run, curves in history.runs.items():
        if metric in curves:
            look = run_look(history, run, colour, quantity)
            look = {"color": look["color"], "linestyle": look["linestyle"]}
            points = curves[metric].points()
            move_line(axes, f"{run} {metric}", *points, linewidth=1.0, alpha=0.45, zorder=2, **look)


def draw_held_out(
    history: History,
    axes: Axes,
    metric: str,
    colour: str,
    unless: str | None = None,
    quantity: int = 0,
) -> None:
    """The points of every run that has this metric, except where the metric `unless` is 1."""
    for run, curves in history.runs.items():
        if metric in curves:
            steps, values = curves[metric].points()
            if unless in curves:
                values = np.where(curves[unless].points()[1] == 1, np.nan, values)
            look = run_look(history, run, colour, quantity)
            move_line(axes, f"{run} {metric}", steps, values, linewidth=1.4, zorder=3, **look)


def run_look(history: History, run: str, colour: str, quantity: int = 0) -> dict[str, Any]:
    """Colour, dashes and points of a run: one alone has the quantity's colour, of several each has
    its own, and the quantities of a panel differ by their dashes."""
    style, several = run_style(history.numbers[run]), len(history.runs) > 1
    ink, dash = (style.colour, style.dash_of(quantity)) if several else (colour, ())
    face = ink if style.filled or not several else "white"
    mark = {"marker": style.marker if several else "o", "markersize": 4.5, "markerfacecolor": face}
    return {"color": ink, "linestyle": (0, dash) if dash else "-", **mark}


def draw_bars(
    axes: Axes, run: str, steps: Values, low: Values, high: Values, colour: str = BLUE
) -> None:
    """Vertical bars from low to high, as one line with gaps."""
    gap = np.full_like(steps, np.nan)
    heights = rearrange([low, high, gap], "end step -> (step end)")
    look = {"color": colour, "linewidth": 1.0, "alpha": 0.6, "zorder": 2}
    move_line(axes, f"{run} bars", np.repeat(steps, 3), heights, **look)


def mark_changes(history: History, axes: Axes) -> None:
    """Thin vertical lines where a setting was changed by hand."""
    for run, changed in history.changes.items():
        steps = np.repeat(np.array(changed, dtype=float), 3)
        heights = np.tile([0.0, 1.0, np.nan], len(changed))
        look = {"color": MUTED, "linewidth": 0.8, "alpha": 0.7, "linestyle": (0, (2, 2))}
        move_line(
            axes, f"{run} {CHANGES}", steps, heights, transform=axes.get_xaxis_transform(), **look
        )


def draw_guide(axes: Axes, height: float) -> None:
    """A dotted horizontal line, such as chance level."""
    if not any(line.get_gid() == GUIDE for line in axes.lines):
        axes.axhline(height, gid=GUIDE, color=MUTED, linewidth=0.9, linestyle=":", zorder=1)


def name_colours(axes: Axes, **colours: str) -> None:
    """The names of the lines in their colours, right of the title."""
    if [text.get_text() for text in axes.texts] == list(reversed(colours)):
        return
    for text in list(axes.texts):
        text.remove()
    anchor: dict[str, Any] = {"xy": (1, 1), "xycoords": "axes fraction", "xytext": (0, 4)}
    for name, colour in reversed(colours.items()):
        look: Any = {"ha": "right", "va": "bottom", "fontsize": 8.5, "color": colour}
        written = axes.annotate(name, textcoords="offset points", **anchor, **look)
        anchor = {"xy": (0, 0), "xycoords": written, "xytext": (-7, 0)}


def signed_root(values: Any) -> Any:
    """The square root, with its sign: an axis begins a little below 0."""
    return np.sign(values) * np.sqrt(np.abs(values))


def fit_limits(axes: Axes, total: int, fixed: tuple[float, float] | None) -> None:
    """Widen the limits that the lines have outgrown, in steps so large that few are needed."""
    lines = [line for line in axes.lines if not str(line.get_gid()).endswith((GUIDE, CHANGES))]
    steps = _finite(line.get_xdata() for line in lines)
    values = _finite(line.get_ydata() for line in lines)
    last = float(steps.max(initial=0.0))
    shares = (total / 8, total / 4, total / 2) if total > SHORT else ()
    right = next((share for share in shares if share >= last), max(total, last))
    if right and (axes.get_autoscalex_on() or right > axes.get_xlim()[1]):
        axes.set_xlim(-0.02 * right, 1.02 * right)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if fixed:
        values = np.array(fixed)
    if len(values):
        shown = None if axes.get_autoscaley_on() else axes.get_ylim()
        wanted = widened(shown, float(values.min()), float(values.max()))
        if wanted != shown:
            axes.set_ylim(wanted)
            axes.yaxis.set_major_locator(MaxNLocator(5))


def widened(shown: tuple[float, float] | None, low: float, high: float) -> tuple[float, float]:
    """Limits that hold `low` to `high`: those shown as long as they do, else with room to spare.

    >>> widened((0.0, 1.0), 0.2, 0.9)
    (0.0, 1.0)
    >>> widened((0.0, 1.0), 0.2, 2.0)
    (0.0, 3.6)
    """
    if shown is None:
        room = 0.08 * max(high - low, 0.1 * abs(high), 0.02)
        return low - room, high + room
    bottom, top = min(shown[0], low), max(shown[1], high)
    room = GROWTH * (top - bottom)
    return bottom - room * (low < shown[0]), top + room * (high > shown[1])


def _finite(parts: Iterable[Any]) -> Values:
    joined = np.concatenate([np.empty(0), *parts])
    return joined[np.isfinite(joined)]
