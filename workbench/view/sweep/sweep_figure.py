"""A sweep as a still figure: the metric against the KL, and parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.view.plot.primitives import BLUE, INK, MUTED, ORANGE, name_axes, new_figure
from workbench.view.sweep.sweep_data import short

MANY = 10  # values of a setting that stand one beside another; more lie on a scale


def draw_sweep(data: dict[str, Any]) -> Figure:
    """Every run that measured something as a point and as a line; see `sweep_data`.

    The front and the run to take stand out.
    """
    figure, (left, right) = new_figure(columns=2, size=(1000, 380))
    figure.set_layout_engine("constrained")
    runs = [run for run in data["runs"] if run["metric"] is not None]
    runs.sort(key=lambda run: (run["run"] == data["take"], run["front"]))  # on top what stands out
    _draw_front(left, data, [run for run in runs if run["kl"] is not None])
    _draw_coordinates(right, data, runs)
    return figure


def _draw_front(axes: Axes, data: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    for run in runs:
        chosen = run["run"] == data["take"]
        look: dict[str, Any] = {"marker": "D" if chosen else "o", "markersize": 8 if chosen else 5}
        colour = ORANGE if chosen else BLUE if run["front"] else MUTED
        face = colour if run["state"] == "finished" and run["within"] else "white"
        axes.plot(run["kl"], run["metric"], color=colour, markerfacecolor=face, **look)
    front = sorted((run["kl"], run["metric"]) for run in runs if run["front"])
    if front:
        axes.plot(*zip(*front, strict=True), color=BLUE, linewidth=1.4, drawstyle="steps-post")
    if data["limit"] is not None:
        axes.axvline(data["limit"], color=MUTED, linewidth=1, linestyle=":")
    across = "KL(policy ‖ reference), nats per answer"
    name_axes(axes, "Metric against KL; line: not surpassed in both", across, data["metric"])


def _draw_coordinates(axes: Axes, data: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    settings = zip(*(run["settings"] for run in runs), strict=True)
    columns = [
        *((a["name"], a["log"], v) for a, v in zip(data["axes"], settings, strict=bool(runs))),
        ("KL", False, [run["kl"] for run in runs]),
        (data["metric"], False, [run["metric"] for run in runs]),
    ]
    measured = ("KL", data["metric"])
    columns = [column for column in columns if len(set(column[2])) > 1]
    places = [_places(v, log, name in measured) for name, log, v in columns]
    for index, run in enumerate(runs):
        chosen = run["run"] == data["take"]
        colour = ORANGE if chosen else BLUE if run["front"] else MUTED
        heights = [column[index] for column, _ in places]
        strength = 1.0 if chosen or run["front"] else 0.45
        axes.plot(heights, color=colour, alpha=strength, linewidth=2.4 if chosen else 1.2)
    for across, (_, ticks) in enumerate(places):
        for height, text in ticks:
            ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
            axes.annotate(
                text, (across, height), (4, 0), textcoords="offset points", fontsize=8, color=INK,
                va="center", bbox=ground,
            )  # fmt: skip
    axes.set_xticks(range(len(columns)), [name for name, _, _ in columns])
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(columns) - 0.6)
    name_axes(axes, "Settings of every run; orange: the one to take")


def _places(
    values: Sequence[Any], log: bool, measured: bool
) -> tuple[list[float], list[tuple[float, str]]]:
    """Heights from 0 to 1, and what is written at which height."""
    known = sorted(
        {value for value in values if value is not None}, key=lambda v: (str(type(v)), v)
    )
    words = any(isinstance(value, str) for value in known)
    if words or (len(known) <= MANY and not measured):
        at = {value: i / max(len(known) - 1, 1) for i, value in enumerate(known)}
        return [at.get(v, np.nan) for v in values], [(at[v], short(v)) for v in known]
    scaled = [np.nan if v is None else np.log(v) if log else float(v) for v in values]
    low, high = np.nanmin(scaled), np.nanmax(scaled)
    heights = [(value - low) / (high - low) for value in scaled]
    return heights, [(0.0, short(float(known[0]))), (1.0, short(float(known[-1])))]
