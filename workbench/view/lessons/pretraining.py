"""Pretraining, shown live: the loss, the share of texts that parse, and texts of the model."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter, ScalarFormatter

from workbench.core.metrics import wilson_interval
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.grammar import join_words, split_words
from workbench.data.reviews.world import Reviews
from workbench.models.load import Model
from workbench.runs.pretraining_eval import (
    PretrainingEval,
    Snapshot,
    Written,
    ladder,
    pretrain_with_snapshots,
)
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.events import ChangeEvent, EvalEvent, StepEvent
from workbench.view.controls.watch import watch
from workbench.view.html.images import picture
from workbench.view.html.render import Html, render
from workbench.view.plot import primitives
from workbench.view.plot.history import History
from workbench.view.plot.panels import Data
from workbench.view.plot.primitives import BLUE, HELD_OUT, MUTED, ORANGE

SHARPENED = "sharpened/"
SIZE = (940, 300)
MOST_MISFITS = 14  # words shown after a text has stopped being a possible review


def watch_pretraining(
    world: Reviews | ReviewsConfig | None = None,
    base: BaseConfig | None = None,
    *,
    prompts: Sequence[str] = (),
    samples: int = 128,
    seed: int = 0,
    snapshots: list[Snapshot] | None = None,
    rate: float = 5.0,
) -> Model:
    """Pretrain a base model within the cell, and show how its loss and its texts change.

    Args:
        world: the reviews that are learnt; the default world when left out.
        base: size and training of the model; the default gives the model called "tiny".
        prompts: texts after these are shown; two of the world's when left out.
        samples: texts sampled for every point of the share that parses.
        seed: of those texts; not of the training, which has its own in `base`.
        snapshots: a list that receives the snapshots, for later cells.
        rate: updates of the picture per second, at most.

    Returns:
        The trained model; the weights do not depend on the display.
    """
    world = world if isinstance(world, Reviews) else Reviews(world)
    base = base or BaseConfig()
    prompts = tuple(prompts) or (world.prompts[1], world.prompts[len(world.prompts) // 2 + 2])
    evaluation = PretrainingEval(world, prompts, samples, seed=seed)
    model = new_model(world, base)
    board = Board(model, evaluation, base.steps, len(prompts))

    def states() -> Iterator[object]:
        for event in pretrain_with_snapshots(model, world, base, evaluation):
            board.add(event)
            if snapshots is not None and isinstance(event, Snapshot):
                snapshots.append(event)
            yield event

    watch(states(), lambda _: board.html(), rate)
    return model


class Board:
    """A line of facts, both curves and the texts, updated by the events of pretraining."""

    def __init__(self, model: Model, evaluation: PretrainingEval, total: int, shown: int) -> None:
        self._total, self._shown = total, shown
        self._parameters = sum(weight.numel() for weight in model.policy.parameters())
        self._floor, self._chance = evaluation.floor, math.log(model.tokenizer.vocab_size)
        self._history, self._snapshots = History(total=total), list[Snapshot]()
        self._figure, self._axes = primitives.new_figure(2, SIZE)
        self._figure.subplots_adjust(0.05, 0.16, 0.985, 0.89, wspace=0.17)
        self._step, self._begin, self._now = 0, time.perf_counter(), time.perf_counter()

    def add(self, event: StepEvent | ChangeEvent | Snapshot) -> None:
        """Add an event."""
        self._step, self._now = event.step, time.perf_counter()
        if isinstance(event, Snapshot):
            self._snapshots.append(event)
            if event.step:  # a logarithmic axis has no 0
                self._history.add("run", as_metrics(event))
        else:
            self._history.add("run", event)

    def figure(self) -> Figure:
        """Both curves; the same figure each time."""
        loss, share = self._axes
        draw_loss(self._history, loss, self._floor, self._chance)
        draw_share(self._history, share)
        return self._figure

    def html(self) -> str:
        """Facts, curves and texts."""
        steps = {0, *ladder(self._total, (1, 3))}
        rows = [snapshot for snapshot in self._snapshots if snapshot.step in steps]
        where = f"step {self._step:,} of {self._total:,}"
        facts = f"{where} · {self._now - self._begin:.1f} s · {self._parameters:,} parameters"
        return render(
            "pretraining", step=self._step, facts=facts, size=SIZE,
            picture=picture(self.figure()), texts=text_table(rows, self._shown),
        )  # fmt: skip


def as_metrics(snapshot: Snapshot) -> EvalEvent:
    """A snapshot's numbers as points of curves; those of the sharpened model stand apart."""
    share = snapshot.grammatical
    low, high = wilson_interval(share, len(snapshot.texts))
    values = {"loss": snapshot.loss, "grammatical": share, "low": low, "high": high}
    prefix = SHARPENED if snapshot.sharpened else HELD_OUT
    return EvalEvent(snapshot.step, {prefix + name: value for name, value in values.items()})


def draw_loss(data: Data, axes: Axes, floor: float, chance: float) -> Axes:
    """Nats per token: a thin line for the training batches, points for fresh texts.

    `floor` is the loss of the grammar itself, `chance` that of a uniform distribution over words.
    """
    history = History.of(data)
    if not axes.lines:
        _prepare(axes, history.total, "Loss, nats per token")
        axes.set_ylim(0, 1.17 * chance)
        guides = (
            ("the grammar itself", floor, 1.08, "left", "top", -0.03),
            ("all words alike", chance, history.total, "right", "bottom", 0.03),
        )
        for name, height, at, ends, side, gap in guides:
            axes.axhline(height, gid=primitives.GUIDE, color=MUTED, linewidth=0.9, linestyle=":")
            look: Any = {"va": side, "ha": ends, "fontsize": 8.5, "color": MUTED}
            axes.text(at, height + gap * chance, f"{name}: {height:.2f}", **look)
    primitives.draw_training(history, axes, "loss", BLUE)
    _draw_last(history, axes, "loss", "{:.2f}")
    return axes


def draw_share(data: Data, axes: Axes) -> Axes:
    """The share of the sampled texts that parse, with its 95% interval."""
    history = History.of(data)
    if not axes.lines:
        _prepare(axes, history.total, "Texts that parse")
        axes.set_ylim(-0.04, 1.07)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    for run, curves in history.runs.items():
        if HELD_OUT + "low" in curves:
            steps, low = curves[HELD_OUT + "low"].points()
            primitives.draw_bars(axes, run, steps, low, curves[HELD_OUT + "high"].points()[1])
    primitives.draw_held_out(history, axes, HELD_OUT + "grammatical", BLUE)
    _draw_last(history, axes, "grammatical", "{:.0%}")
    return axes


def _prepare(axes: Axes, total: int, title: str) -> None:
    """A logarithmic axis of steps, because the loss falls most within the first of them."""
    primitives.name_axes(axes, title, "step")
    axes.set_xscale("log")
    axes.set_xlim(0.95, 1.12 * max(1, total))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def _draw_last(history: History, axes: Axes, metric: str, form: str) -> None:
    """The sharpened model's point, and the newest numbers right of the title."""
    written = {}
    for curves in history.runs.values():
        if HELD_OUT + metric in curves:
            step, value = curves[HELD_OUT + metric].last
            written[f"step {step:,.0f}: {form.format(value)}"] = BLUE
        if SHARPENED + metric in curves:
            step, value = curves[SHARPENED + metric].last
            written[f"◆ sharpened: {form.format(value)}"] = ORANGE
            look: Any = {"marker": "D", "color": ORANGE, "markersize": 6, "zorder": 4}
            primitives.move_line(axes, SHARPENED, [step], [value], **look)
    for text in [text for text in axes.texts if text.get_gid() == HELD_OUT]:
        text.remove()
    anchor: dict[str, Any] = {"xy": (1, 1), "xycoords": "axes fraction", "xytext": (0, 5)}
    for name, colour in reversed(written.items()):
        look = {"ha": "right", "va": "bottom", "fontsize": 9, "color": colour, "gid": HELD_OUT}
        placed = axes.annotate(name, textcoords="offset points", **anchor, **look)
        anchor = {"xy": (0, 0), "xycoords": placed, "xytext": (-10, 0)}


def text_table(snapshots: Sequence[Snapshot], shown: int) -> Html:
    """One row per snapshot: its numbers and its first `shown` texts, as HTML.

    A text is marked from the first word on after which it can't become a review.
    """
    prompts = [text.prompt for text in snapshots[0].texts[:shown]] if snapshots else []
    rows = [
        {
            "name": "sharpened" if snapshot.sharpened else f"step {snapshot.step:,}",
            "facts": f"loss {snapshot.loss:.2f} · {snapshot.grammatical:.0%} parse",
            "texts": [marked_text(text) for text in snapshot.texts[:shown]],
        }
        for snapshot in snapshots
    ]
    return render("snapshots", prompts=prompts, rows=rows, width=SIZE[0])


def marked_text(written: Written) -> Html:
    """A text as HTML: a sign for whether it parses, and a mark from where it can't any more."""
    words = split_words(written.text)
    shown = join_words(words[: written.fitting + MOST_MISFITS])
    fitting = join_words(words[: written.fitting])
    rest = shown[len(fitting) :]
    return render(
        "marked_text", parses=written.parses, fitting=fitting, rest=rest.strip(),
        space=" " * rest.startswith(" "), cut=len(words) > written.fitting + MOST_MISFITS,
    )  # fmt: skip
