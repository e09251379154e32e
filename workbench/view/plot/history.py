"""The events of runs as curves of bounded size, which every figure is drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.train.events import ChangeEvent, EvalEvent, Event, StepEvent

MOST_POINTS = 300  # about one per pixel of a panel

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


class Curve:
    """(step, value) points in order; past MOST_POINTS, neighbours are averaged two by two.

    Memory and the time to draw stay bounded however long the run, and points once drawn stay put
    until the next halving. The last point is always up to date.
    """

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []
        self._open: list[tuple[float, float]] = []  # not yet enough of them to make a point
        self._width = 1
        self.last = (math.nan, math.nan)  # the newest point as it came

    def add(self, step: float, value: float) -> None:
        """Append a point; steps must not go back."""
        self.last = (step, value)
        self._open.append(self.last)
        if len(self._open) < self._width:
            return
        self._points.append(_mean(self._open))
        self._open = []
        if len(self._points) >= MOST_POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [_mean(list(pair)) for pair in pairs]
            self._width *= 2

    def points(self) -> Points:
        """Steps and values, each (point,)."""
        points = [*self._points, _mean(self._open)] if self._open else self._points
        steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
        return steps, values


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points)


@dataclass
class History:
    """Curves by run and metric, the steps at which settings were changed, the length of the runs.

    The order of `runs` is the order in which figures tell them apart.
    """

    runs: dict[str, dict[str, Curve]] = field(default_factory=dict)
    changes: dict[str, list[int]] = field(default_factory=dict)
    total: int = 0

    def add(self, run: str, event: Event) -> None:
        """Add an event of `run`; events without numbers are ignored."""
        curves = self.runs.setdefault(run, {})
        if isinstance(event, StepEvent):
            self.total = max(self.total, event.total)
        if isinstance(event, StepEvent | EvalEvent):
            for metric, value in event.metrics.items():
                curves.setdefault(metric, Curve()).add(event.step, value)
        elif isinstance(event, ChangeEvent):
            steps = self.changes.setdefault(run, [])
            if event.step not in steps[-1:]:  # a slider on the move changes a setting many times
                steps.append(event.step)

    def fork(self, parent: str, branch: str) -> None:
        """Start the curves of `branch` at the last points of those of `parent`."""
        curves = self.runs.setdefault(branch, {})
        for metric, curve in self.runs.get(parent, {}).items():
            curves.setdefault(metric, Curve()).add(*curve.last)

    @classmethod
    def of(cls, data: History | pd.DataFrame) -> History:
        """From a tidy frame with the columns run, step, metric and value."""
        if isinstance(data, History):
            return data
        history = cls()
        for (run, metric), rows in data.groupby(["run", "metric"], sort=False):
            curve = history.runs.setdefault(run, {}).setdefault(metric, Curve())
            rows = rows.sort_values("step", kind="stable")
            for step, value in zip(rows["step"], rows["value"], strict=True):
                curve.add(step, value)
            history.total = max(history.total, int(rows["step"].max()))
        return history
