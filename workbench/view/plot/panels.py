"""The panels of a run: one function each, from the metrics that are known to what is shown.

A panel is called with a tidy frame or a History and with axes, and returns the axes. Drawn again on
the same axes it moves the lines that are there, and its limits only grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import pandas as pd
from matplotlib.axes import Axes

from workbench.view.plot import panel_axes
from workbench.view.plot.history import History
from workbench.view.plot.quantities import (
    HELD_OUT,
    Content,
    Known,
    PanelData,
    Quantity,
    anywhere,
    sampled,
    trained,
)
from workbench.view.plot.run_style import BLUE, GREEN, ORANGE

Data: TypeAlias = "History | pd.DataFrame"


class Panel(PanelData):
    """A panel that matplotlib draws when it is called."""

    def __call__(self, data: Data, axes: Axes) -> Axes:
        """Draw on `axes`, or bring them up to date if this panel is drawn on them already."""
        return panel_axes.draw(self, History.of(data), axes)


PANELS: dict[str, Panel] = {}


def panel(
    title: str,
    unit: str,
    *metrics: str,
    limits: tuple[float, float] | None = None,
    unless: str | None = None,
) -> Callable[[Callable[[Known], Content]], Panel]:
    """Register a function as a panel under its own name.

    It is shown where one of `metrics` is known, and there is room; `limits` fixes the vertical
    range.
    """

    def register(content: Callable[[Known], Content]) -> Panel:
        entry = Panel(content.__name__, title, unit, limits, metrics, unless, content)
        PANELS[entry.name] = entry
        return entry

    return register


@panel("Reward", "mean per completion", "scores")
def scores(known: Known) -> Content:
    """Of the completions that are trained on; held out, where a world knows it, the true one."""
    rewards = Quantity("scores", HELD_OUT + "samples/score", BLUE)
    if not anywhere(known, HELD_OUT + "samples/reward"):
        return Content((trained("scores"), rewards))
    scored = Quantity("scores", HELD_OUT + "samples/score", BLUE, "trained on")
    return Content((scored, sampled("samples/reward", GREEN, "true")))


@panel("Loss", "mean per row", "loss", unless="scores")
def loss(known: Known) -> Content:
    """Mean loss; for pairs the dotted line is log 2, where DPO's loss starts."""
    pairs = any("rewards/margins" in metrics and "z" not in metrics for metrics in known)
    return Content((trained("loss"),), math.log(2) if pairs else None)


@panel("Reward margin", "nats", "rewards/margins")
def reward_margin(known: Known) -> Content:
    """Reward of the chosen minus that of the rejected, means."""
    return Content((trained("rewards/margins"),), 0.0)


@panel("Log-ratios", "nats per completion", "logratios/chosen")
def log_ratios(known: Known) -> Content:
    """Chosen and rejected apart: the margin may grow while both fall."""
    labelled = anywhere(known, "z")  # desirable and undesirable answers, as of KTO
    names = ("desirable", "undesirable") if labelled else ("chosen", "rejected")
    sides = (
        trained("logratios/chosen", BLUE, names[0]),
        trained("logratios/rejected", ORANGE, names[1]),
    )
    return Content((*sides, trained("z", GREEN, "z")) if labelled else sides, 0.0)


@panel("Held-out accuracy, 95% interval", "share", "rewards/accuracies", limits=(0.0, 1.0))
def accuracy(known: Known) -> Content:
    """Share of held-out pairs whose margin is positive; the dotted line is chance.

    Where all margins are 0, as before the first step, there is no accuracy to show.
    """
    name = HELD_OUT + "rewards/accuracies"
    ties, low, high = HELD_OUT + "rewards/ties", f"{name}_low", f"{name}_high"
    return Content((Quantity(held_out=name, low=low, high=high, unless=ties),), 0.5)


@panel("KL(policy ‖ reference) ± s.e.", "nats per completion", "kl/policy_reference", "kl/rollout")
def kl(known: Known) -> Content:
    """The KL of the next-token distributions along the policy's own samples, never below 0."""
    name = HELD_OUT + "kl/policy_reference"
    return Content((Quantity("kl/rollout", name, error=f"{name}_se"),), 0.0)


@panel("Clip fraction", "share of tokens", "clip_fraction")
def clip_fraction(known: Known) -> Content:
    """Tokens whose probability ratio has left the range, so that their gradient has ended."""
    return Content((trained("clip_fraction"),))


@panel("Value loss", "squared reward", "value_loss")
def value_loss(known: Known) -> Content:
    """Mean squared error of the value head."""
    return Content((trained("value_loss"),))


@panel("Length", "tokens per completion", "lengths/completion")
def length(known: Known) -> Content:
    """Of the completions that are trained on, and of the samples."""
    return Content((trained("lengths/completion"), sampled("samples/length")))


@panel("Entropy", "nats per token", "entropy")
def entropy(known: Known) -> Content:
    """Mean -log p of the tokens that the policy wrote."""
    return Content((trained("entropy"),))


@panel("Samples", "", "samples/reward", "samples/length", unless="scores")
def samples(known: Known) -> Content:
    """In a world with a true reward: reward and grammatical share; else the length of samples."""
    if anywhere(known, HELD_OUT + "samples/reward"):
        reward = sampled("samples/reward", BLUE, "true reward")
        grammatical = sampled("samples/grammatical", GREEN, "grammatical")
        return Content((reward, grammatical), 0.0, "reward, share")
    if anywhere(known, HELD_OUT + "samples/length"):
        return Content((sampled("samples/length"),), unit="tokens")
    return Content(())


@panel("Log-probabilities", "nats per completion", "logps/chosen", "logps/completion")
def log_probabilities(known: Known) -> Content:
    """The policy's own, where there is no reference to compare them with."""
    if not anywhere(known, "logps/chosen"):
        return Content((trained("logps/completion"),))
    sides = trained("logps/chosen", BLUE, "chosen"), trained("logps/rejected", ORANGE, "rejected")
    return Content((*sides, trained("logps/completion")))


@panel("Rewards", "reward", "rewards/chosen")
def rewards(known: Known) -> Content:
    """Chosen and rejected apart."""
    sides = (
        trained("rewards/chosen", BLUE, "chosen"),
        trained("rewards/rejected", ORANGE, "rejected"),
    )
    return Content(sides, 0.0)


@panel("Gradient norm", "before clipping", "grad_norm")
def gradient_norm(known: Known) -> Content:
    """Over all weights that are trained."""
    return Content((trained("grad_norm"),))
