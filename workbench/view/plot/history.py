"""The events of runs as curves of bounded size, which every figure is drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.train.events import ChangeEvent, EvalEvent, Event, StepEvent

MOST_POINTS = 300  # about one per pixel of a panel

Values = NDArray[np.float64]
Points = tuple[Values, Values]


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

    @property
    def mark(self) -> tuple[int, int, int]:
        """Changes with every point that is added; see `since`."""
        return self._width, len(self._points), len(self._open)

    def since(self, mark: tuple[int, int, int]) -> tuple[int, NDArray[np.float32]]:
        """What has changed since the curve had this mark: the index from which on its points are
        others, and these points, (point, 2): step and value."""
        start = mark[1] if mark[0] == self._width else 0
        points = [*self._points[start:], *([_mean(self._open)] if self._open else [])]
        return start, np.array(points, dtype=np.float32).reshape(-1, 2)


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points)


@dataclass
class History:
    """Curves by run and metric, the steps at which settings were changed, the length of the runs.

    `numbers` has the number of each run, by which figures tell them apart: see `run_style`.
    """

    runs: dict[str, dict[str, Curve]] = field(default_factory=dict)
    changes: dict[str, list[int]] = field(default_factory=dict)
    total: int = 0
    numbers: dict[str, int] = field(default_factory=dict)

    @property
    def known(self) -> list[set[str]]:
        """The metrics of each run."""
        return [set(curves) for curves in self.runs.values()]

    def open(self, run: str) -> dict[str, Curve]:
        """The curves of a run; one that is new gets the next number."""
        if run not in self.runs:
            self.numbers[run] = 1 + max(self.numbers.values(), default=-1)
        return self.runs.setdefault(run, {})

    def add(self, run: str, event: Event) -> None:
        """Add an event of `run`; events without numbers are ignored."""
        curves = self.open(run)
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
        curves = self.open(branch)
        for metric, curve in self.runs.get(parent, {}).items():
            curves.setdefault(metric, Curve()).add(*curve.last)

    def only(self, names: Iterable[str]) -> History:
        """These runs alone, in this order; they keep their numbers and share their curves."""
        known = [name for name in names if name in self.runs]
        runs = {name: self.runs[name] for name in known}
        changes = {name: self.changes[name] for name in known if name in self.changes}
        return History(runs, changes, self.total, {name: self.numbers[name] for name in known})

    def rename(self, old: str, new: str) -> None:
        """Give a run another name; it keeps its number and its turn."""
        tables: tuple[dict[str, Any], ...] = (self.runs, self.changes, self.numbers)
        for table in tables:
            entries = [(new if name == old else name, entry) for name, entry in table.items()]
            table.clear()
            table.update(entries)

    def remove(self, run: str) -> None:
        """Forget a run."""
        self.runs.pop(run, None)
        self.changes.pop(run, None)
        self.numbers.pop(run, None)

    @classmethod
    def of(cls, data: History | pd.DataFrame) -> History:
        """From a tidy frame with the columns run, step, metric and value."""
        if isinstance(data, History):
            return data
        history = cls()
        for (run, metric), rows in data.groupby(["run", "metric"], sort=False):
            curve = history.open(run).setdefault(metric, Curve())
            rows = rows.sort_values("step", kind="stable")
            for step, value in zip(rows["step"], rows["value"], strict=True):
                curve.add(step, value)
            history.total = max(history.total, int(rows["step"].max()))
        return history
