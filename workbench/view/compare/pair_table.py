"""The held-out pairs of a run: a table with margin and gradient weight, and one pair opened."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import ipywidgets as widgets
import pandas as pd
from torch import Tensor

from workbench.compare.handle_sources import handles
from workbench.compare.tokens import PairTokens, compare_pair
from workbench.errors import WorkbenchError
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.view.compare.logratio_lines import LogratioLines
from workbench.view.compare.sources import state_of
from workbench.view.compare.token_parts import (
    SHARE,
    SIDES,
    UNDER,
    number_table,
    numbered,
    pair_html,
)
from workbench.view.compare.token_view import (
    CACHED,
    below_dropdown,
    largest_share,
    limit,
    side_dropdown,
    token_slider,
)
from workbench.view.controls.explorer import Explorer, slider
from workbench.view.html.elements import error_card
from workbench.view.html.render import Html, render
from workbench.view.html.tokens import signed

PAGE = 8  # rows shown at a time
ROUNDING = 0.02  # nats by which two margins differ before the reason is given
LONGEST_PROMPT = 90  # characters of a prompt in the table; the opened pair shows all
DATA_ORDER = "order of the data"
# Title of a column, its name in `pair_frame`, and how its numbers are written.
COLUMNS = {
    "margin": ("margin", signed),
    "told apart": ("order", lambda value: {1: "yes ✓", 0: "tie –", -1: "no ✗"}[int(value)]),
    "gradient weight": ("grad_weight", "{:.3f}".format),
    "log-ratio, chosen": ("logratios/chosen", signed),
    "log-ratio, rejected": ("logratios/rejected", signed),
    "length, chosen": ("lengths/chosen", "{:.0f}".format),
    "length, rejected": ("lengths/rejected", "{:.0f}".format),
}
SORTS = {DATA_ORDER: "pair", **{title: name for title, (name, _) in COLUMNS.items()}}
DIRECTIONS = ("lowest first", "highest first")


def explore_pairs(
    run: Run | Path | str, sort: str = "margin", highest_first: bool = False
) -> Explorer:
    """A table of a run's held-out pairs, to be sorted and searched, and one of them opened below.

    Args:
        run: as it is now, or the folder of one; pairs are scored again once it has gone on.
        sort: the column to begin with, out of `SORTS`.
        highest_first: the direction to begin with.

    Raises:
        WorkbenchError: no pairs are held out, or an unknown column.
    """
    run = run if isinstance(run, Run) else load_run(run)
    if not run.data.held_out:
        raise WorkbenchError("the run holds no pairs out; give it held_out=60, for one")
    _require_pairs(run)
    if sort not in SORTS:
        raise WorkbenchError(f"sort={sort!r} is unknown; accepted: {', '.join(SORTS)}")
    table = _PairTable(run, sort, highest_first)
    return Explorer(table.draw, **table.controls)


class _PairTable:
    """Draws what `explore_pairs` shows, for the pair and token that the controls choose."""

    def __init__(self, run: Run, sort: str, highest_first: bool) -> None:
        self._run, self._lines = run, LogratioLines()
        self._reference, self._policy = handles(run)
        self._frame = lru_cache(1)(lambda state: pair_frame(run))
        self._score = lru_cache(CACHED)(self._compare)
        self._shown, self._moving = "", False
        self.controls = _controls(sort, highest_first)
        self._row, self._side, self._token = (self.controls[n] for n in ("row", "side", "token"))
        limit(self._row, lambda: len(self.listed()), [self.controls["search"]])
        limit(self._token, self._length, [self._side])
        for name in ("sort", "direction", "search", "row"):
            self.controls[name].observe(self._go_to_largest, "value")
        self._go_to_largest()

    def listed(self) -> pd.DataFrame:
        """The pairs that are searched for, sorted."""
        names = ("sort", "direction", "search")
        return arranged(self._frame(state_of(self._run)), *(self.controls[n].value for n in names))

    def opened(self) -> PairTokens | None:
        """The pair of the chosen row."""
        found = self.listed()
        if found.empty:
            return None
        number = found["pair"].iloc[min(self._row.value, len(found)) - 1]
        return self._score(state_of(self._run), int(number))

    def draw(self, row: int, side: str, token: int, below: str, **_: str) -> str:
        """The table, and the opened pair below it."""
        if not self._moving:
            self._shown = self._draw(row - 1, SIDES.index(side), token - 1, below)
        return self._shown

    def _draw(self, index: int, side: int, at: int, below: str) -> str:
        found = self.listed()
        if found.empty:
            return render("no_pairs")
        index = min(index, len(found) - 1)
        row = found.iloc[index]
        texts = {part: row[part] for part in ("prompt", *SIDES)}
        head = pairs_table(found, index) + render("opened_pair", texts=texts)
        try:
            pair = self.opened()
        except WorkbenchError as error:
            return head + error_card(error)
        assert pair is not None
        head += rounding(float(row["margin"]), pair.margin)
        return head + pair_html(pair, self._policy.tokenizer, self._lines, side, at, below)

    def _compare(self, state: object, number: int) -> PairTokens:
        pair = self._run.data.held_out[number]
        return compare_pair(
            self._reference, self._policy, pair.prompt, pair.chosen, pair.rejected,
            scored=(pair.chosen_scored, pair.rejected_scored),
        )  # fmt: skip

    def _length(self) -> int:
        """Tokens of the chosen side of the opened pair."""
        try:
            pair = self.opened()
        except WorkbenchError:  # which is drawn
            pair = None
        return 1 if pair is None else len((pair.chosen, pair.rejected)[self._side.index].ids)

    def _go_to_largest(self, _: object = None) -> None:
        """Where another pair opens, go to the token that has the largest share of its margin."""
        self._moving = True  # it is drawn once, at the end
        try:
            if not self.listed().empty:
                self._side.index, first = largest_share(self._shares)
                self._token.max, self._token.value = self._length(), first
        finally:
            self._moving = False

    def _shares(self) -> Iterable[Tensor]:
        pair = self.opened()
        return () if pair is None else pair.shares


def _require_pairs(run: Run) -> None:
    """Refuse a run that does not train on pairs, or compares them with no reference."""
    if not run.method.paired or not run.method.needs_reference(run.settings):
        raise WorkbenchError(
            "pairs that are compared with a reference are shown here; this run has "
            f"{run.method.noun} and the loss {run.settings.loss}"
        )


def pair_frame(run: Run) -> pd.DataFrame:
    """`run.held_out_frame()` with `pair`, the index in the data; `margin` in nats; and `order`: 1
    where the chosen gained on the rejected, -1 where it lost, 0 in a tie."""
    _require_pairs(run)
    frame = run.held_out_frame()
    margin = frame["logratios/chosen"] - frame["logratios/rejected"]
    order = 2 * frame["rewards/accuracies"] + frame["rewards/ties"] - 1
    return frame.assign(pair=range(len(frame)), margin=margin, order=order)


def arranged(frame: pd.DataFrame, sort: str, direction: str, search: str) -> pd.DataFrame:
    """The pairs that hold `search` in any of their texts, in upper or lower case, sorted."""
    texts = frame["prompt"] + "\n" + frame["chosen"] + "\n" + frame["rejected"]
    found = frame[texts.str.casefold().str.contains(search.casefold(), regex=False)]
    upwards = direction == DIRECTIONS[0]
    return found.sort_values(SORTS[sort], ascending=upwards, kind="stable")


def pairs_table(frame: pd.DataFrame, index: int) -> Html:
    """The page of the pairs which has the row at `index`, as an HTML table."""
    first = index - index % PAGE
    rows = []
    for number, (_, pair) in enumerate(frame.iloc[first : first + PAGE].iterrows(), first):
        prompt = numbered(number, shorten(pair["prompt"], LONGEST_PROMPT), number == index)
        rows.append([prompt, *(write(pair[name]) for name, write in COLUMNS.values())])
    table = number_table("wb-pairs", ("prompt", *COLUMNS), rows)
    return render(
        "pairs", first=first + 1, last=first + len(rows), count=len(frame), table=table,
        accuracy=f"{frame['rewards/accuracies'].mean():.0%}",
    )  # fmt: skip


def shorten(text: str, length: int) -> str:
    """At most `length` characters of a text, on one line.

    >>> shorten("one two three", 8)
    'one two …'
    """
    line = " ".join(text.split())
    return line if len(line) <= length else line[:length].rstrip() + " …"


def rounding(in_batch: float, alone: float) -> str:
    """A line of HTML where the table's margin and the opened pair's differ visibly.

    Measured on SmolLM2 after three steps: up to 0.7 nats in bf16, where sums are rounded to three
    digits in an order that depends on the batch; in float32 they agree to four decimals.
    """
    if abs(in_batch - alone) < ROUNDING:
        return ""
    return render("rounding", in_batch=signed(in_batch), alone=signed(alone))


def _controls(sort: str, highest_first: bool) -> dict[str, widgets.DOMWidget]:
    return {
        "sort": widgets.Dropdown(options=list(SORTS), value=sort, description="sort by"),
        "direction": widgets.Dropdown(
            options=DIRECTIONS, value=DIRECTIONS[highest_first], description="direction"
        ),
        "search": widgets.Text(description="search", placeholder="letters in any text"),
        "row": slider(1, 1, 1, 1, "open row"),
        "side": side_dropdown(SIDES[0]),
        "token": token_slider(1),
        "below": below_dropdown([*UNDER, SHARE]),
    }
