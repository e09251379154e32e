"""Pairs with their provenance as a table: filtered, opened, edited, and written as a new file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets as widgets
import pandas as pd

from workbench.errors import WorkbenchError
from workbench.feedback.constitution.editing import drop_pairs, edit_pair, swap_pairs
from workbench.feedback.constitution.feedback_pairs import (
    FeedbackPair,
    feedback_frame,
    read_feedback,
    write_feedback,
)
from workbench.paths import given_path
from workbench.view.compare.pair_table import shorten
from workbench.view.compare.token_parts import numbered
from workbench.view.controls.explorer import Explorer, slider
from workbench.view.html.differences import marked_differences
from workbench.view.html.elements import error_card
from workbench.view.html.render import Html, render

PAGE = 8  # rows shown at a time
LONGEST = 70  # characters of a text in the table
ALL = "all"
ONLY: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    ALL: lambda frame: frame["pair"] > 0,
    "chosen longer": lambda frame: frame["words_chosen"] > frame["words_rejected"],
    "chosen shorter": lambda frame: frame["words_chosen"] < frame["words_rejected"],
    "orders disagree": lambda frame: frame[["score_first", "score_second"]].min(axis=1) < 0.5,
    "edited": lambda frame: frame["edited"] != "",
}
FACTS = (
    "prompt", "chosen", "rejected", "kind", "principle", "principle_text", "original", "critique",
    "revision", "writer", "critic", "seed", "score_first", "score_second", "edited",
)  # fmt: skip


def explore_feedback(pairs: Sequence[FeedbackPair] | Path | str) -> FeedbackTable:
    """The pairs of a constitution, or of a file of them, to be inspected and edited."""
    found = read_feedback(pairs) if isinstance(pairs, str | Path) else list(pairs)
    return FeedbackTable(found)


class FeedbackTable(Explorer):
    """What `explore_feedback` makes.

    Attributes:
        pairs: as edited so far.
    """

    def __init__(self, pairs: list[FeedbackPair]) -> None:
        self.pairs = pairs
        names = sorted({pair.principle for pair in pairs})
        super().__init__(
            self._draw,
            principle=widgets.Dropdown(options=[ALL, *names], description="principle"),
            only=widgets.Dropdown(options=list(ONLY), description="only"),
            search=widgets.Text(description="search", placeholder="letters in any text"),
            row=slider(1, 1, max(1, len(pairs)), 1, "open row"),
        )
        self._fields = {
            name: widgets.Textarea(description=name, rows=2) for name in ("chosen", "rejected")
        }
        self._path = widgets.Text(value="edited.jsonl", description="new file")
        self._told = widgets.HTML()
        self._fill()
        for control in self.controls.values():
            control.observe(lambda change: self._fill(), "value")
        actions = {
            "Drop": self.drop, "Swap": self.swap, "Set texts": self._set_texts,
            "Write": lambda: self.write(self._path.value),
        }  # fmt: skip
        buttons = [widgets.Button(description=name) for name in actions]
        for button, action in zip(buttons, actions.values(), strict=True):
            button.on_click(lambda _, action=action: self._try(action))
        row = widgets.HBox([*buttons, self._path]).add_class("wb-row")
        self.box.children = (*self.box.children, *self._fields.values(), row, self._told)

    # -- what is shown ----------------------------------------------------------------------------

    def listed(self) -> pd.DataFrame:
        """The pairs that the controls let through, as `feedback_frame` gives them."""
        frame = feedback_frame(self.pairs)
        if frame.empty:
            return frame
        principle, only, search = (self.values[n] for n in ("principle", "only", "search"))
        texts = frame[["prompt", "chosen", "rejected", "critique"]].agg("\n".join, axis=1)
        kept = ONLY[only](frame) & texts.str.casefold().str.contains(search.casefold(), regex=False)
        return frame[kept if principle == ALL else kept & (frame["principle"] == principle)]

    def opened(self) -> int | None:
        """The number of the opened pair in `pairs`, from 1; None where none is listed."""
        found = self.listed()
        if found.empty:
            return None
        return int(found["pair"].iloc[min(self.values["row"], len(found)) - 1])

    def _draw(self, row: int, **_: str) -> str:
        found, number = self.listed(), self.opened()
        if number is None:
            return Html("<p>no pair is listed</p>")
        index = min(row, len(found)) - 1
        return _table(found, index, len(self.pairs)) + _provenance(self.pairs[number - 1])

    def _fill(self) -> None:
        """The texts of the opened pair, into the fields to edit them."""
        number = self.opened()
        for name, field in self._fields.items():
            field.value = "" if number is None else getattr(self.pairs[number - 1], name)

    # -- what is done -----------------------------------------------------------------------------

    def drop(self) -> None:
        """Drop the opened pair."""
        self._replace(drop_pairs(self.pairs, [self._number()]))

    def swap(self) -> None:
        """Swap the sides of the opened pair."""
        self._replace(swap_pairs(self.pairs, [self._number()]))

    def edit(self, **texts: str) -> None:
        """Give the opened pair another `chosen` or `rejected`."""
        number = self._number()
        edited = edit_pair(self.pairs[number - 1], **texts)
        self._replace([*self.pairs[: number - 1], edited, *self.pairs[number:]])

    def write(self, path: str | Path) -> None:
        """Write the pairs as they are now. Raises WorkbenchError for a file that is there."""
        path = given_path(path)
        if path.exists():
            raise WorkbenchError(f"{path} exists: name a new file")
        write_feedback(self.pairs, path)

    def _set_texts(self) -> None:
        self.edit(**{name: field.value for name, field in self._fields.items()})

    def _number(self) -> int:
        number = self.opened()
        if number is None:
            raise WorkbenchError("no pair is open")
        return number

    def _replace(self, pairs: list[FeedbackPair]) -> None:
        self.pairs = pairs
        self._show()
        self._fill()

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
            self._told.value = f"{len(self.pairs)} pairs"
        except (WorkbenchError, OSError) as error:
            self._told.value = error_card(error)


def _table(frame: pd.DataFrame, index: int, total: int) -> Html:
    """The page of the pairs that has the row at `index`, as an HTML table."""
    first = index - index % PAGE
    rows = [
        [
            numbered(number, shorten(pair["prompt"], LONGEST), number == index),
            pair["principle"], shorten(pair["chosen"], LONGEST), shorten(pair["rejected"], LONGEST),
            _number_of(pair["score"]), f"{pair['words_chosen'] - pair['words_rejected']:+d}",
        ]
        for number, (_, pair) in enumerate(frame.iloc[first : first + PAGE].iterrows(), first)
    ]  # fmt: skip
    titles = ("prompt", "principle", "chosen", "rejected", "score", "words more")
    table = render("table", name="wb-feedback", titles=titles, rows=rows, numbers=False)
    said = f"rows {first + 1} to {first + len(rows)} of {len(frame)}"
    more = f", out of {total} pairs" if len(frame) < total else ""
    return Html(f"<p>{said}{more}</p>{table}")


def _provenance(pair: FeedbackPair) -> Html:
    chosen, rejected = marked_differences(pair.rejected, pair.chosen)[::-1]
    marked = {"chosen": chosen, "rejected": rejected}
    parts = [
        (name.replace("_", " "), marked.get(name, _written(getattr(pair, name)))) for name in FACTS
    ]
    return render("provenance", parts=[(name, text) for name, text in parts if text])


def _written(value: object) -> str:
    return _number_of(value) if isinstance(value, float) else "" if value is None else str(value)


def _number_of(value: float) -> str:
    return "" if value is None or value != value else f"{value:.2f}"
