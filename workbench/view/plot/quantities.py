"""What a panel shows, as data: its unit, its guide and its quantities.

Both drawings are made from this: the figure of a saved notebook and the curves in the browser.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from workbench.view.plot.history import Curve, Values
from workbench.view.plot.run_style import BLUE

HELD_OUT = "held_out/"
Known: TypeAlias = Sequence[Collection[str]]  # the metrics of each run


@dataclass(frozen=True)
class Quantity:
    """One quantity of a panel, drawn once per run.

    Attributes:
        metric: of the training batches, a thin line; None where there is none.
        held_out: of the held-out set, a line with points; None where there is none.
        colour: where one run alone is drawn; of several, each has its own.
        name: in the panel's key; empty where the title says it.
        low, high: metrics of the ends of the interval around `held_out`.
        error: metric of half its length, where it has no `low` and `high`.
        unless: the metric that is 1 where there is no value to show.
    """

    metric: str | None = None
    held_out: str | None = None
    colour: str = BLUE
    name: str = ""
    low: str | None = None
    high: str | None = None
    error: str | None = None
    unless: str | None = None

    @property
    def metrics(self) -> list[str]:
        """All that it is drawn from."""
        every = (self.metric, self.held_out, self.low, self.high, self.error, self.unless)
        return [metric for metric in every if metric is not None]

    def interval(self, curves: Mapping[str, Curve]) -> tuple[Values, Values, Values] | None:
        """Steps and both ends, each (point,), of the values to show; None where none is known."""
        if self.held_out is None or self.held_out not in curves:
            return None
        steps, mean = curves[self.held_out].points()
        values = {name: curves[name].points()[1] for name in self.metrics if name in curves}
        if self.low in values and self.high in values:
            low, high = values[self.low], values[self.high]
        elif self.error in values:
            low, high = mean - values[self.error], mean + values[self.error]
        else:
            return None
        shown = values[self.unless] != 1 if self.unless in values else np.ones(len(steps), bool)
        return steps[shown], low[shown], high[shown]


@dataclass(frozen=True)
class Content:
    """What a panel shows of the runs at hand; `unit` and `guide` replace those of the panel."""

    quantities: tuple[Quantity, ...]
    guide: float | None = None
    unit: str | None = None


@dataclass(frozen=True)
class PanelData:
    """One panel: title, unit, fixed limits, and what it shows of the metrics that are known.

    It is shown where one of `metrics` is known and `unless` is not.
    """

    name: str
    title: str
    unit: str
    limits: tuple[float, float] | None
    metrics: tuple[str, ...]
    unless: str | None
    content: Callable[[Known], Content]

    def has_data(self, known: Collection[str]) -> bool:
        """Whether it is shown where these metrics are known, of training or held out."""
        return self.unless not in known and any(
            name in known or HELD_OUT + name in known for name in self.metrics
        )


def trained(metric: str, colour: str = BLUE, name: str = "") -> Quantity:
    """A quantity of the training batches, and the same of the held-out set."""
    return Quantity(metric, HELD_OUT + metric, colour, name)


def sampled(metric: str, colour: str = BLUE, name: str = "") -> Quantity:
    """A quantity of the held-out set alone."""
    return Quantity(held_out=HELD_OUT + metric, colour=colour, name=name)


def anywhere(known: Known, metric: str) -> bool:
    """Whether any run has this metric."""
    return any(metric in metrics for metrics in known)
