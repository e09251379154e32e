"""What a run has logged, in one form wherever it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from workbench.runs.doctor.parts import Parts

SHARE = 0.1  # of the steps that a beginning or an end is averaged over
LARGEST = 1e30  # of a value; larger ones overflow where they are squared
LOG_2 = math.log(2)
ENOUGH = 10  # steps at the full learning rate; after fewer, what has not happened still may


@dataclass(frozen=True)
class Series:
    """A metric by step, ascending: (step, value), all finite, at least one."""

    points: tuple[tuple[int, float], ...]

    @property
    def values(self) -> list[float]:
        """In the order of the steps."""
        return [value for _, value in self.points]

    @property
    def first(self) -> float:
        """The first value."""
        return self.points[0][1]

    @property
    def last(self) -> float:
        """The last value."""
        return self.points[-1][1]

    @property
    def lowest(self) -> tuple[int, float]:
        """Step and value of the lowest value."""
        return min(self.points, key=lambda point: point[1])

    @property
    def highest(self) -> tuple[int, float]:
        """Step and value of the highest value."""
        return max(self.points, key=lambda point: point[1])

    @property
    def settled(self) -> float:
        """The median of the last three values after the first: one of them alone does not count."""
        return median(self.values[1:][-3:] or [self.last])

    @property
    def beginning(self) -> float:
        """The mean over the first tenth."""
        return fmean(self.values[: self._tenth])

    @property
    def end(self) -> float:
        """The mean over the last tenth."""
        return fmean(self.values[-self._tenth :])

    @property
    def _tenth(self) -> int:
        return max(1, round(SHARE * len(self.points)))

    def rises(self) -> bool:
        """Whether it rises: the slope over its steps is above 0 by three standard errors."""
        count = len(self.points)
        if count < 4:
            return False
        steps, values = [float(step) for step, _ in self.points], self.values
        centre, middle = fmean(steps), fmean(values)
        spread = sum((step - centre) ** 2 for step in steps)
        if not spread:
            return False
        shared = zip(steps, values, strict=True)
        slope = sum((step - centre) * (value - middle) for step, value in shared) / spread
        left = [v - middle - slope * (s - centre) for s, v in zip(steps, values, strict=True)]
        error = math.sqrt(sum(one * one for one in left) / (count - 2) / spread)
        return slope > 3 * error


@dataclass(frozen=True)
class Texts:
    """What policy and reference wrote at a step; the reference's may be none."""

    step: int
    policy: tuple[str, ...]
    reference: tuple[str, ...] = ()


@dataclass(frozen=True)
class Readings:
    """All that is known of a run without its model.

    Attributes:
        source: the folder or file, or the run's name.
        state: "finished", "stopped", "running", or "running or interrupted" of a folder.
        step, total: steps taken, and those of the whole run; 0 where that is unknown.
        training, held_out: series by metric, under the names of the workbench.
        compares: whether rewards are log-ratios to a reference; None where that is unknown.
        settings: of the run, as far as they are known.
        epochs: times through the training data so far; None where that is unknown.
        held_out_items: how many held-out items there are; None where that is unknown.
        texts: what was written at the evaluations, oldest first.
        not_finite: of each metric with a value that is no number, the first step that has one.
        advice: what to try next by symptom, where settings have other names than the workbench's.
        parts: the texts of both parts of the data, or why they cannot be read; None where they
            share nothing by their making.
    """

    source: str
    state: str = "finished"
    step: int = 0
    total: int = 0
    training: Mapping[str, Series] = field(default_factory=dict)
    held_out: Mapping[str, Series] = field(default_factory=dict)
    compares: bool | None = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: float | None = None
    held_out_items: int | None = None
    texts: tuple[Texts, ...] = ()
    not_finite: Mapping[str, int] = field(default_factory=dict)
    advice: Mapping[str, str] = field(default_factory=dict)
    parts: Parts | str | None = "no texts of the data are known"

    @property
    def early(self) -> str:
        """Why nothing is said yet of what has not happened; empty from a third of the steps on,
        where enough of them had the full learning rate."""
        if 3 * self.step < self.total:
            return f"only {self.step} of {self.total} steps"
        full = self.step - self.warm_up
        return "" if full >= ENOUGH else f"steps at the full learning rate: {full} of {ENOUGH}"

    @property
    def warm_up(self) -> int:
        """The steps before the first one that is logged with the highest learning rate."""
        lr = self.training.get("lr")
        return 0 if lr is None else max(0, lr.highest[0] - 1)

    def either(self, metric: str) -> tuple[Series, str] | None:
        """A metric of the held-out items where it was measured twice, else of the training steps;
        and which of both it is, "held-out" or "training"."""
        for found, where in ((self.held_out, "held-out"), (self.training, "training")):
            if metric in found and len(found[metric].points) > 1:
                return found[metric], where
        return None

    def ends(self, metric: str) -> tuple[float, float, str] | None:
        """The same at the beginning and at the end; of training steps the means of a tenth."""
        found = self.either(metric)
        if found is None:
            return None
        series, where = found
        if where == "held-out":
            return series.first, series.last, where
        return series.beginning, series.end, where


def is_step(value: object) -> bool:
    """Whether a file's value is a number of steps."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12


def series_of(
    logged: Iterable[tuple[int, Mapping[str, Any]]],
) -> tuple[dict[str, Series], dict[str, int]]:
    """Series by metric, and by metric the first step whose value is no finite number, or larger
    than any can be.

    Of two values at one step, as a resumed run may have them, the later one counts. What is no
    number is left out.
    """
    found: dict[str, dict[int, float]] = {}
    broken: dict[str, int] = {}
    for step, metrics in logged:
        for name, value in metrics.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if -LARGEST < value < LARGEST:
                found.setdefault(name, {})[step] = float(value)
            else:
                broken.setdefault(name, step)
    return {name: Series(tuple(sorted(by_step.items()))) for name, by_step in found.items()}, broken
