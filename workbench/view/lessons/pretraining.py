"""A model that learns to write, watched while it does: its loss, how much parses, its texts."""

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
from workbench.view.html import text_table as compare
from workbench.view.html.elements import escape, picture
from workbench.view.plot import primitives
from workbench.view.plot.history import History
from workbench.view.plot.primitives import BLUE, HELD_OUT, MUTED, ORANGE
from workbench.view.plot.run_figure import Data

SHARPENED = "sharpened/"
SIZE = (940, 300)
# Kept while a new picture is decoded; without it the page would jump at each of them.
PLACE = f"aspect-ratio: {SIZE[0]} / {SIZE[1]}; max-width: {SIZE[0]}px"
MOST_MISFITS = 14  # words that are shown from where a text can't be a review any more
LINE = "border-bottom: 1px solid rgba(128, 128, 128, 0.35)"
MISFIT = compare.MARKS["del"]
QUIET = "font-weight: normal; opacity: 0.75"


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
    """Pretrain a base model within the cell, and show meanwhile how it comes to write.

    Args:
        world: the reviews that are learnt; the default world when left out.
        base: size and training of the model; the default gives the model called "tiny".
        prompts: whose texts are shown; two of the world's when left out.
        samples: texts that are sampled for every point of the share that parses.
        seed: of those texts; not of the training, which has its own in `base`.
        snapshots: a list that takes what was measured, for cells that go on with it.
        rate: how often a second the picture may change.

    Returns:
        The trained model; its weights are the same as without anybody watching.
    """
    world = world if isinstance(world, Reviews) else Reviews(world)
    base = base or BaseConfig()
    prompts = tuple(prompts) or (world.prompts[1], world.prompts[len(world.prompts) // 2 + 2])
    examination = PretrainingEval(world, prompts, samples, seed=seed)
    model = new_model(world, base)
    board = Board(model, examination, base.steps, len(prompts))

    def states() -> Iterator[object]:
        for event in pretrain_with_snapshots(model, world, base, examination):
            board.add(event)
            if snapshots is not None and isinstance(event, Snapshot):
                snapshots.append(event)
            yield event

    watch(states(), lambda _: board.html(), rate)
    return model


class Board:
    """A line of facts, both curves and the texts, brought up to date by what pretraining says."""

    def __init__(self, model: Model, examination: PretrainingEval, total: int, shown: int) -> None:
        self._total, self._shown = total, shown
        self._parameters = sum(weight.numel() for weight in model.policy.parameters())
        self._floor, self._chance = examination.floor, math.log(model.tokenizer.vocab_size)
        self._history, self._snapshots = History(total=total), list[Snapshot]()
        self._figure, self._axes = primitives.new_figure(2, SIZE)
        self._figure.subplots_adjust(0.05, 0.16, 0.985, 0.89, wspace=0.17)
        self._step, self._begin, self._now = 0, time.perf_counter(), time.perf_counter()

    def add(self, event: StepEvent | ChangeEvent | Snapshot) -> None:
        """Remember what was said."""
        self._step, self._now = event.step, time.perf_counter()
        if isinstance(event, Snapshot):
            self._snapshots.append(event)
            if event.step:  # 0 has no place on an axis of equal ratios
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
        """All of it."""
        steps = {0, *ladder(self._total, (1, 3))}
        rows = [snapshot for snapshot in self._snapshots if snapshot.step in steps]
        where = f"step {self._step:,} of {self._total:,}"
        facts = f"{where} · {self._now - self._begin:.1f} s · {self._parameters:,} parameters"
        return (
            f'<div class="wb-pretraining" data-step="{self._step}"><p>{facts}</p>'
            f'<div style="{PLACE}">{picture(self.figure())}</div>'
            f"{text_table(rows, self._shown)}</div>"
        )


def as_metrics(snapshot: Snapshot) -> EvalEvent:
    """A snapshot's numbers as points of curves; those of the sharpened model stand apart."""
    share = snapshot.grammatical
    low, high = wilson_interval(share, len(snapshot.texts))
    values = {"loss": snapshot.loss, "grammatical": share, "low": low, "high": high}
    prefix = SHARPENED if snapshot.sharpened else HELD_OUT
    return EvalEvent(snapshot.step, {prefix + name: value for name, value in values.items()})


def draw_loss(data: Data, axes: Axes, floor: float, chance: float) -> Axes:
    """Nats a token: a thin line for the training batches, points for fresh texts.

    `floor` is what the grammar itself has, `chance` what a model has to which all words are alike.
    """
    history = History.of(data)
    if not axes.lines:
        _prepare(axes, history.total, "Loss, nats a token")
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
    """Steps in equal ratios, because most of the loss goes within the first of them."""
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
    place: dict[str, Any] = {"xy": (1, 1), "xycoords": "axes fraction", "xytext": (0, 5)}
    for name, colour in reversed(written.items()):
        look = {"ha": "right", "va": "bottom", "fontsize": 9, "color": colour, "gid": HELD_OUT}
        placed = axes.annotate(name, textcoords="offset points", **place, **look)
        place = {"xy": (0, 0), "xycoords": placed, "xytext": (-10, 0)}


def text_table(snapshots: Sequence[Snapshot], shown: int) -> str:
    """A row a snapshot: its numbers and its first `shown` texts, as HTML.

    A text is marked from the first word on with which no review could go on.
    """
    prompts = [text.prompt for text in snapshots[0].texts[:shown]] if snapshots else []
    head = "".join(
        f'<th style="{compare.CELL}; {LINE}"><bdi>{escape(prompt)}</bdi></th>' for prompt in prompts
    )
    rows = "".join(_row(snapshot, shown) for snapshot in snapshots)
    wide = f"width: 100%; max-width: {SIZE[0]}px"
    look = f"border-collapse: collapse; table-layout: fixed; {wide}"
    return (
        f'<table class="wb-snapshots" style="{look}"><thead>'
        f'<tr><th style="{LINE}; width: 12em"></th>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _row(snapshot: Snapshot, shown: int) -> str:
    name = "sharpened" if snapshot.sharpened else f"step {snapshot.step:,}"
    facts = f"loss {snapshot.loss:.2f} · {snapshot.grammatical:.0%} parse"
    style = f"{compare.CELL}; {LINE}"
    cells = "".join(
        f'<td style="{style}">{marked_text(text)}</td>' for text in snapshot.texts[:shown]
    )
    return (
        f'<tr><th style="{style}; white-space: nowrap">{name}<br>'
        f'<span style="{QUIET}">{facts}</span></th>{cells}</tr>'
    )


def marked_text(written: Written) -> str:
    """A text as HTML: a sign for whether it parses, and a mark from where it no longer can."""
    words = split_words(written.text)
    shown = join_words(words[: written.fitting + MOST_MISFITS])
    fitting = join_words(words[: written.fitting])
    html, rest = escape(fitting), shown[len(fitting) :]
    if rest:
        space = " " * rest.startswith(" ")
        html += f'{space}<span style="{MISFIT}">{escape(rest.strip())}</span>'
    elif not written.parses:
        html += f' <i style="{QUIET}">(breaks off)</i>'
    if len(words) > written.fitting + MOST_MISFITS:
        html += " …"
    return f"{'✓' if written.parses else '✗'} <bdi>{html}</bdi>"
