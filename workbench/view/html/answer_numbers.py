"""The numbers of answers: averaged, and written below each answer.

Pure functions over the frame of `compare.answers.answers_frame`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from workbench.compare.answers import LOGP
from workbench.compare.judging.winners import JUDGED
from workbench.view.html.render import Html, escape, render
from workbench.view.html.side_by_side import PromptAnswers, side_by_side

TEXTS = ("place", "prompt", "who", "text", "ended", "step")  # columns that are no numbers
TITLES = {
    "repetition": "repeated",
    "changed": "words changed",
    "kl": "KL",
    "reward": "true reward",
}
SHARES = ("repetition", "changed", "grammatical")  # between 0 and 1
COUNTS = ("words", "tokens")
AGAINST_FIRST = ("changed", "kl")  # which the first model does not have
LINES = ((*COUNTS, "changed", "repetition"), ("kl",))  # the first lines below an answer


@dataclass(frozen=True)
class GridRow:
    """One prompt; texts, and each number, in the order of the models."""

    index: int
    prompt: str
    texts: tuple[str, ...]
    ended: tuple[bool, ...]
    numbers: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Grid:
    """The frame of `answers_frame` by prompts and models."""

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[GridRow, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Grid:
        """Prompts and models in the order of the frame."""
        metrics = tuple(column for column in frame.columns if column not in TEXTS)
        rows = []
        for index, group in frame.groupby("place", sort=False):
            numbers = {name: tuple(map(float, group[name])) for name in metrics}
            prompt, texts = group["prompt"].iloc[0], tuple(group["text"])
            rows.append(GridRow(int(index), prompt, texts, tuple(group["ended"]), numbers))
        return cls(tuple(frame["who"].unique()), metrics, tuple(rows))


def answers_table(grid: Grid, rows: Sequence[GridRow], look: str = "ruled") -> Html:
    """Each model's answer to each prompt with its numbers below, see `side_by_side`."""
    shown = [
        PromptAnswers(
            row.prompt,
            row.texts,
            [notes(grid, row, model) for model in range(len(row.texts))],
        )
        for row in rows
    ]
    return side_by_side(grid.names, shown, look)


def means_table(grid: Grid, styled: bool = True) -> Html:
    """The mean of every number by model, over all prompts that have it."""
    rows = [
        (name, [written(metric, mean(grid, metric, model)) for metric in grid.metrics])
        for model, name in enumerate(grid.names)
    ]
    titles = [title_of(metric) for metric in grid.metrics]
    return render("means", count=len(grid.rows), titles=titles, rows=rows, styled=styled)


def mean(grid: Grid, metric: str, model: int) -> float:
    """Over the prompts that have this number; NaN where none does."""
    if model == 0 and metric in AGAINST_FIRST:
        return math.nan
    values = [row.numbers[metric][model] for row in grid.rows]
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def legend(grid: Grid) -> Html:
    """What marks and numbers mean, folded."""
    return render("legend", first=grid.names[0])


def notes(grid: Grid, row: GridRow, model: int) -> Html:
    """The numbers of one answer in two or three lines of HTML."""
    listed = {*sum(LINES, ())}
    rest = [name for name in grid.metrics if name not in listed and not name.startswith(LOGP)]
    known = {
        name: row.numbers[name][model]
        for name in grid.metrics
        if not math.isnan(row.numbers[name][model]) and not (model == 0 and name in AGAINST_FIRST)
    }
    lines = [
        [_with_title(name, known[name]) for name in names if name in known]
        for names in (*LINES, rest)
    ]
    if not row.ended[model]:
        lines[0].append(f"cut at {_with_title('tokens', row.numbers['tokens'][model])}")
    logps = [
        f"{name.removeprefix(LOGP)} {written(name, value)}"
        for name, value in known.items()
        if name.startswith(LOGP)
    ]
    if logps:
        lines[1].insert(0, f"log p: {', '.join(logps)}")
    return Html("<br>".join(escape(" · ".join(line)) for line in lines if line))


def title_of(metric: str) -> str:
    """A number's name for people."""
    written_out = metric.replace(LOGP, "log p under ").replace(JUDGED, "share beaten, ")
    return TITLES.get(metric, written_out)


def written(metric: str, value: float) -> str:
    """A number as text; a dash for NaN.

    >>> written("kl", 2.345), written("reward", -0.5), written("repetition", 0.25)
    ('2.35', '−0.50', '25%')
    """
    if math.isnan(value):
        return "–"
    if metric in COUNTS:
        return f"{value:.0f}" if value == int(value) else f"{value:.1f}"
    text = f"{value:.0%}" if metric in SHARES else f"{value:.2f}"
    return (f"+{text}" if metric == "reward" and value > 0 else text).replace("-", "−")


def _with_title(metric: str, value: float) -> str:
    number, title = written(metric, value), title_of(metric)
    if metric == "grammatical":
        return "grammatical" if value else "not grammatical"
    if metric in COUNTS:
        return f"{number} {title.removesuffix('s' if value == 1 else '')}"
    return f"{number} {title.removeprefix('words ')}" if metric in SHARES else f"{title} {number}"
