"""The panels of a run's figure: one function each, (tidy frame or History, axes) -> axes.

A panel drawn again on the same axes moves the lines that are there instead of adding new ones, and
its limits only grow. So the static figure of a notebook and the live one are the same code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from workbench.view.plot import primitives
from workbench.view.plot.history import History
from workbench.view.plot.primitives import BLUE, FAINT, GREEN, HELD_OUT, INK, MUTED, ORANGE

Data: TypeAlias = "History | pd.DataFrame"


@dataclass(frozen=True)
class Panel:
    """One panel: callable with data and axes, with its title, unit and limits.

    It is shown where one of `metrics` is known and `unless` is not.
    """

    name: str
    title: str
    unit: str
    limits: tuple[float, float] | None
    metrics: tuple[str, ...]
    unless: str | None
    draw: Callable[[History, Axes], None]

    def has_data(self, known: Collection[str]) -> bool:
        """Whether it is shown where these metrics are known, of training or held out."""
        return self.unless not in known and any(
            name in known or HELD_OUT + name in known for name in self.metrics
        )

    def __call__(self, data: Data, axes: Axes) -> Axes:
        """Draw on `axes`, or bring them up to date if this panel is drawn on them already."""
        history = History.of(data)
        if axes.get_gid() != self.name:
            self._prepare(axes)
        self.draw(history, axes)
        primitives.mark_changes(history, axes)
        primitives.fit_limits(axes, history.total, self.limits)
        return axes

    def _prepare(self, axes: Axes) -> None:
        axes.clear()
        axes.set_gid(self.name)
        # Fixed positions: to find them matplotlib would measure all texts at every draw.
        look: Any = {"fontsize": 9.5, "fontweight": "bold", "color": INK}
        axes.set_title(self.title, loc="left", y=1.03, pad=0, **look)
        axes.set_ylabel(self.unit, fontsize=8, color=MUTED)
        axes.yaxis.set_label_coords(-0.228, 0.5)
        axes.set_xlabel("step", fontsize=8, color=MUTED)
        axes.xaxis.set_label_coords(0.5, -0.135)
        axes.tick_params(left=False, bottom=False, labelsize=8, colors=MUTED, pad=3)
        axes.xaxis.set_major_locator(NullLocator())  # until there is something to measure
        axes.yaxis.set_major_locator(NullLocator())
        axes.grid(True, color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#b5b5b5")


PANELS: dict[str, Panel] = {}


def panel(
    title: str,
    unit: str,
    *metrics: str,
    limits: tuple[float, float] | None = None,
    unless: str | None = None,
) -> Callable[[Callable[[History, Axes], None]], Panel]:
    """Register a function as a panel under its own name.

    It is shown where one of `metrics` is known, and there is room; `limits` fixes the vertical
    range.
    """

    def register(draw: Callable[[History, Axes], None]) -> Panel:
        entry = Panel(draw.__name__, title, unit, limits, metrics, unless, draw)
        PANELS[entry.name] = entry
        return entry

    return register


@panel("Reward", "mean per completion", "scores")
def scores(history: History, axes: Axes) -> None:
    """Of the completions that are trained on; held out, where a world knows it, the true one."""
    primitives.draw_training(history, axes, "scores", BLUE)
    primitives.draw_held_out(history, axes, f"{HELD_OUT}samples/score", BLUE)
    truth = f"{HELD_OUT}samples/reward"
    if any(truth in curves for curves in history.runs.values()):
        primitives.draw_held_out(history, axes, truth, GREEN)
        primitives.name_colours(axes, **{"trained on": BLUE, "true": GREEN})


@panel("Loss", "mean per row", "loss", unless="scores")
def loss(history: History, axes: Axes) -> None:
    """Mean loss; for pairs the dotted line is log 2, where DPO's loss starts."""
    if any("rewards/margins" in curves and "z" not in curves for curves in history.runs.values()):
        primitives.draw_guide(axes, math.log(2))
    primitives.draw_training(history, axes, "loss", BLUE)


@panel("Reward margin", "nats", "rewards/margins")
def reward_margin(history: History, axes: Axes) -> None:
    """Reward of the chosen minus that of the rejected, means."""
    primitives.draw_guide(axes, 0.0)
    primitives.draw_training(history, axes, "rewards/margins", BLUE)


@panel("Log-ratios", "nats per completion", "logratios/chosen")
def log_ratios(history: History, axes: Axes) -> None:
    """Chosen and rejected apart: the margin may grow while both fall."""
    primitives.draw_guide(axes, 0.0)
    primitives.draw_training(history, axes, "logratios/chosen", BLUE)
    primitives.draw_training(history, axes, "logratios/rejected", ORANGE)
    if any("z" in curves for curves in history.runs.values()):
        primitives.draw_training(history, axes, "z", GREEN)
        primitives.name_colours(axes, desirable=BLUE, undesirable=ORANGE, z=GREEN)
    else:
        primitives.name_colours(axes, chosen=BLUE, rejected=ORANGE)


@panel("Held-out accuracy, 95% interval", "share", "rewards/accuracies", limits=(0.0, 1.0))
def accuracy(history: History, axes: Axes) -> None:
    """Share of held-out pairs whose margin is positive; the dotted line is chance.

    Where all margins are 0, as before the first step, there is no accuracy to show.
    """
    primitives.draw_guide(axes, 0.5)
    name, ties = f"{HELD_OUT}rewards/accuracies", f"{HELD_OUT}rewards/ties"
    for run, curves in history.runs.items():
        if f"{name}_low" in curves:
            steps, low = curves[f"{name}_low"].points()
            tied = curves[ties].points()[1] == 1 if ties in curves else np.zeros_like(low, bool)
            high = curves[f"{name}_high"].points()[1]
            primitives.draw_bars(axes, run, steps[~tied], low[~tied], high[~tied])
    primitives.draw_held_out(history, axes, name, BLUE, unless=ties)


@panel("KL(policy ‖ reference) ± s.e.", "nats per completion", "kl/policy_reference", "kl/rollout")
def kl(history: History, axes: Axes) -> None:
    """The KL of the next-token distributions along the policy's own samples, never below 0."""
    primitives.draw_guide(axes, 0.0)
    name = HELD_OUT + "kl/policy_reference"
    for run, curves in history.runs.items():
        if f"{name}_se" in curves:
            steps, mean = curves[name].points()
            error = curves[f"{name}_se"].points()[1]
            primitives.draw_bars(axes, run, steps, mean - error, mean + error)
    primitives.draw_training(history, axes, "kl/rollout", BLUE)
    primitives.draw_held_out(history, axes, name, BLUE)


@panel("Clip fraction", "share of tokens", "clip_fraction")
def clip_fraction(history: History, axes: Axes) -> None:
    """Tokens whose probability ratio has left the range, so that their gradient has ended."""
    primitives.draw_training(history, axes, "clip_fraction", BLUE)


@panel("Value loss", "squared reward", "value_loss")
def value_loss(history: History, axes: Axes) -> None:
    """Mean squared error of the value head."""
    primitives.draw_training(history, axes, "value_loss", BLUE)


@panel("Length", "tokens per completion", "lengths/completion")
def length(history: History, axes: Axes) -> None:
    """Of the completions that are trained on, and of the samples."""
    primitives.draw_training(history, axes, "lengths/completion", BLUE)
    primitives.draw_held_out(history, axes, f"{HELD_OUT}samples/length", BLUE)


@panel("Entropy", "nats per token", "entropy")
def entropy(history: History, axes: Axes) -> None:
    """Mean -log p of the tokens that the policy wrote."""
    primitives.draw_training(history, axes, "entropy", BLUE)


@panel("Samples", "", "samples/reward", "samples/length", unless="scores")
def samples(history: History, axes: Axes) -> None:
    """In a world with a true reward: reward and grammatical share; else the length of samples."""
    known = {metric for curves in history.runs.values() for metric in curves}
    reward, length = f"{HELD_OUT}samples/reward", f"{HELD_OUT}samples/length"
    if reward in known:
        axes.set_ylabel("reward, share")
        primitives.draw_guide(axes, 0.0)
        primitives.draw_held_out(history, axes, reward, BLUE)
        primitives.draw_held_out(history, axes, f"{HELD_OUT}samples/grammatical", GREEN)
        primitives.name_colours(axes, **{"true reward": BLUE, "grammatical": GREEN})
    elif length in known:
        axes.set_ylabel("tokens")
        primitives.draw_held_out(history, axes, length, BLUE)


@panel("Log-probabilities", "nats per completion", "logps/chosen", "logps/completion")
def log_probabilities(history: History, axes: Axes) -> None:
    """The policy's own, where there is no reference to compare them with."""
    primitives.draw_training(history, axes, "logps/completion", BLUE)
    primitives.draw_training(history, axes, "logps/chosen", BLUE)
    primitives.draw_training(history, axes, "logps/rejected", ORANGE)
    if any("logps/chosen" in curves for curves in history.runs.values()):
        primitives.name_colours(axes, chosen=BLUE, rejected=ORANGE)


@panel("Rewards", "reward", "rewards/chosen")
def rewards(history: History, axes: Axes) -> None:
    """Chosen and rejected apart."""
    primitives.draw_guide(axes, 0.0)
    primitives.draw_training(history, axes, "rewards/chosen", BLUE)
    primitives.draw_training(history, axes, "rewards/rejected", ORANGE)
    primitives.name_colours(axes, chosen=BLUE, rejected=ORANGE)


@panel("Gradient norm", "before clipping", "grad_norm")
def gradient_norm(history: History, axes: Axes) -> None:
    """Over all weights that are trained."""
    primitives.draw_training(history, axes, "grad_norm", BLUE)
