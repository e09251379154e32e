"""Prompts down, models across: every answer with its differences and its numbers, as HTML.

Pure functions over the frame of `train.answers.answers_frame`. Tags alone tell what differs and
which number is which, so the table reads where a code host drops styles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from workbench.compare.answers import LOGP
from workbench.view.html.elements import escape
from workbench.view.html.text_table import CELL, marked_answers

ASKED, CHANGE = "as asked", "change"
TEXTS = ("place", "prompt", "who", "text", "ended", "step")  # columns that are no numbers
NAMES = {
    "words": "words",
    "tokens": "tokens",
    "repetition": "repeated",
    "changed": "words changed",
    "kl": "KL",
    "reward": "true reward",
    "grammatical": "grammatical",
}
SHARES = ("repetition", "changed", "grammatical")  # between 0 and 1
COUNTS = ("words", "tokens")
LINES = ((*COUNTS, "changed", "repetition"), ("kl",))  # the first lines below an answer
NUMBER = "text-align: right; padding: 3px 10px; font-variant-numeric: tabular-nums"
QUIET = "opacity: 0.8"
TABLE = "border-collapse: collapse; line-height: 1.45"
WIDE = f"{TABLE}; width: 100%; table-layout: fixed"  # so that nothing jumps when texts change
BELOW = "border-bottom: 1px solid rgba(128, 128, 128, 0.35)"
LEGEND = (
    "Marked words are in one of two answers only; each answer is compared with that of {first}. "
    "repeated: share of three words in a row that came before in the same answer. "
    "log p: log-probability of the whole answer under each, nats. "
    "KL: of the answer's model to {first}, summed along the answer, nats."
)


@dataclass(frozen=True)
class Row:
    """One prompt; texts, and each number, in the order of the models."""

    place: int
    prompt: str
    texts: tuple[str, ...]
    ended: tuple[bool, ...]
    numbers: dict[str, tuple[float, ...]]

    @property
    def differs(self) -> bool:
        """Whether not all texts are the same."""
        return len(set(self.texts)) > 1


@dataclass(frozen=True)
class Grid:
    """The frame of `answers_frame` by prompts and models."""

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Grid:
        """Prompts in the order of the frame, and models, too."""
        metrics = tuple(column for column in frame.columns if column not in TEXTS)
        rows = []
        for place, group in frame.groupby("place", sort=False):
            numbers = {name: tuple(map(float, group[name])) for name in metrics}
            prompt, texts = group["prompt"].iloc[0], tuple(group["text"])
            rows.append(Row(int(place), prompt, texts, tuple(group["ended"]), numbers))
        return cls(tuple(frame["who"].unique()), metrics, tuple(rows))

    def arranged(
        self,
        sort: str = ASKED,
        of: str = "",
        descending: bool = False,
        contains: str = "",
        differs: bool = False,
    ) -> list[Row]:
        """The rows that are wanted, in the order that is wanted; numbers that miss come last.

        Args:
            sort: "as asked", "prompt", "text", or one of `metrics`.
            of: the model whose text or number counts; "change": last model minus first.
            descending: the largest first.
            contains: only prompts with this text in them or in an answer, in any case.
            differs: only prompts that were answered differently.
        """
        wanted = contains.casefold()
        kept = [
            row
            for row in self.rows
            if (row.differs or not differs)
            and any(wanted in text.casefold() for text in (row.prompt, *row.texts))
        ]
        if sort == ASKED:
            return kept[::-1] if descending else kept
        keys = {row.place: self._key(row, sort, of) for row in kept}
        missing = [row for row in kept if keys[row.place] != keys[row.place]]  # NaN
        there = [row for row in kept if keys[row.place] == keys[row.place]]
        there.sort(key=lambda row: keys[row.place], reverse=descending)
        return there + missing

    def _key(self, row: Row, sort: str, of: str) -> str | float:
        if sort == "prompt":
            return row.prompt.casefold()
        place = self.names.index(of) if of in self.names else -1
        if sort == "text":
            return row.texts[place].casefold()
        values = row.numbers[sort]
        return values[-1] - values[0] if of == CHANGE else values[place]


def name_of(metric: str) -> str:
    """What a number is called."""
    return NAMES.get(metric, metric.replace(LOGP, "log p under "))


def written(metric: str, value: float) -> str:
    """A number as it is read; a dash where there is none.

    >>> written("kl", 2.345), written("reward", -0.5), written("repetition", 0.25)
    ('2.35', '−0.50', '25%')
    """
    if math.isnan(value):
        return "–"
    if metric in COUNTS:
        return f"{value:.0f}" if value == int(value) else f"{value:.1f}"
    text = f"{value:.0%}" if metric in SHARES else f"{value:.2f}"
    return (f"+{text}" if metric == "reward" and value > 0 else text).replace("-", "−")


def answers_table(grid: Grid, rows: Sequence[Row], styled: bool = True) -> str:
    """Prompt, then each model's answer with its numbers below: one row a prompt."""
    style = f' style="{CELL}; {BELOW}"' if styled else ""
    first = f' style="{CELL}; {BELOW}; width: 18%"' if styled else ""
    titles = f"<th{first}>prompt</th>"
    titles += "".join(f"<th{style}><bdi>{escape(name)}</bdi></th>" for name in grid.names)
    body = "".join(
        f"<tr><td{style}><bdi>{escape(row.prompt)}</bdi></td>"
        + "".join(f"<td{style}>{cell}</td>" for cell in cells(grid, row, styled))
        + "</tr>"
        for row in rows
    )
    table = ' class="wb-answers"' + (f' style="{WIDE}"' if styled else "")
    return f"<table{table}><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def cells(grid: Grid, row: Row, styled: bool = True) -> list[str]:
    """One answer each: the text, what differs marked, and its numbers."""
    look = f' style="{QUIET}"' if styled else ""
    return [
        f"{text}<br><small{look}>{numbers_of(grid, row, place)}</small>"
        for place, text in enumerate(marked_answers(row.texts, styled))
    ]


def numbers_of(grid: Grid, row: Row, place: int) -> str:
    """The numbers of one answer in two or three lines of HTML."""
    rest = tuple(
        name for name in grid.metrics if name not in sum(LINES, ()) and not name.startswith(LOGP)
    )
    lines = [_line(grid, row, place, names) for names in (*LINES, rest)]
    if not row.ended[place]:
        lines[0] += " · cut off"
    logps = [
        f"{escape(name.removeprefix(LOGP))} {written(name, row.numbers[name][place])}"
        for name in grid.metrics
        if name.startswith(LOGP) and not math.isnan(row.numbers[name][place])
    ]
    if logps:
        lines[1] = " · ".join(filter(None, [f"log p: {', '.join(logps)}", lines[1]]))
    return "<br>".join(filter(None, lines))


def _line(grid: Grid, row: Row, place: int, names: Sequence[str]) -> str:
    """Against itself the first model has neither changed nor a KL."""
    known = [
        (name, row.numbers[name][place])
        for name in names
        if name in grid.metrics and not (place == 0 and name in ("changed", "kl"))
    ]
    return " · ".join(_told(name, value) for name, value in known if not math.isnan(value))


def _told(metric: str, value: float) -> str:
    if metric == "grammatical":
        return "grammatical" if value else "not grammatical"
    if metric in COUNTS:
        return f"{written(metric, value)} {name_of(metric).removesuffix('s' if value == 1 else '')}"
    if metric in SHARES:
        return f"{written(metric, value)} {name_of(metric).removeprefix('words ')}"
    return f"{escape(name_of(metric))} {written(metric, value)}"


def means_table(grid: Grid, styled: bool = True) -> str:
    """The mean of every number by model, over all prompts that have it."""
    head, cell = (f' style="{look}"' if styled else "" for look in (CELL, NUMBER))
    titles = "".join(f"<th{cell}>{escape(name_of(metric))}</th>" for metric in grid.metrics)
    lines = []
    for place, name in enumerate(grid.names):
        found = [written(metric, mean(grid, metric, place)) for metric in grid.metrics]
        numbers = "".join(f"<td{cell}>{text}</td>" for text in found)
        lines.append(f"<tr><th{head}><bdi>{escape(name)}</bdi></th>{numbers}</tr>")
    prompts = "1 prompt" if len(grid.rows) == 1 else f"{len(grid.rows)} prompts"
    table = f' style="{TABLE}"' if styled else ""
    return (
        f'<table class="wb-means"{table}><thead><tr><th{head}>mean of {prompts}</th>{titles}</tr>'
        f"</thead><tbody>{''.join(lines)}</tbody></table>"
    )


def mean(grid: Grid, metric: str, place: int) -> float:
    """Over the prompts that have this number; NaN where none does, or there is nothing to say."""
    if place == 0 and metric in ("changed", "kl"):
        return math.nan
    values = [row.numbers[metric][place] for row in grid.rows]
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def legend(grid: Grid) -> str:
    """What marks and numbers mean, folded."""
    told = LEGEND.format(first=grid.names[0])
    return f"<details><summary>What the marks and numbers mean</summary>{escape(told)}</details>"
