"""What the kernel sends to the page: the panels and runs as JSON, their points as one buffer."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.view.plot.history import History
from workbench.view.plot.quantities import Quantity
from workbench.view.plot.run_figure import panels_for
from workbench.view.plot.run_style import DARK, run_style

ROOM = 6  # panels, as in the figure
BEGIN = (0, 0, 0)  # the mark of a curve of which nothing has been sent

Marks = dict[tuple[int, str], tuple[int, int, int]]  # by number of the run and metric


def describe(history: History) -> dict[str, Any]:
    """The panels of these runs and how each run is drawn."""
    panels = []
    for panel in panels_for(history, ROOM):
        content = panel.content(history.known)
        panels.append(
            {
                "name": panel.name,
                "title": panel.title,
                "unit": content.unit or panel.unit,
                "limits": panel.limits,
                "guide": content.guide,
                "quantities": [
                    {**vars(quantity), "dark": DARK[quantity.colour]}
                    for quantity in content.quantities
                ],
            }
        )
    runs = [_describe_run(history, name) for name in history.runs]
    return {"kind": "layout", "panels": panels, "runs": runs, "total": history.total}


def _describe_run(history: History, name: str) -> dict[str, Any]:
    style = run_style(number := history.numbers[name])
    return {
        "key": number,
        "name": name,
        "changes": history.changes.get(name, [])[:],
        "colour": style.colour,
        "dark": style.dark,
        "symbol": style.symbol,
        "dashes": [style.dash_of(quantity) for quantity in range(3)],
    }


def new_points(history: History, marks: Marks) -> tuple[list[tuple[int, str, int, int]], bytes]:
    """The points that came since `marks`, which are brought up to date.

    Returns segments (number of the run, metric, index of the first point, how many), and the points
    of all of them as float32 (point, 2): step and value. A segment replaces all from its index on.
    """
    contents = [panel.content(history.known) for panel in panels_for(history, ROOM)]
    wanted = [quantity for content in contents for quantity in content.quantities]
    segments, parts = [], []
    for run, curves in history.runs.items():
        for metric in dict.fromkeys(_metrics(wanted)):
            key = history.numbers[run], metric
            if metric in curves and curves[metric].mark != (before := marks.get(key, BEGIN)):
                start, points = curves[metric].since(before)
                marks[key] = curves[metric].mark
                segments.append((*key, start, len(points)))
                parts.append(points)
    return segments, np.concatenate(parts).tobytes() if parts else b""


def _metrics(wanted: list[Quantity]) -> list[str]:
    return [metric for quantity in wanted for metric in quantity.metrics]
