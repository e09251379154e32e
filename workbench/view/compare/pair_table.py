"""The held-out pairs of a run: which are told apart, which still pull, and one of them opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import ipywidgets as widgets
import pandas as pd
from torch import Tensor

from workbench.compare.open_handles import handles
from workbench.compare.tokens import PairTokens, compare_pair
from workbench.errors import WorkbenchError
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.view.compare.token_parts import (
    QUIET,
    SHARE,
    UNDER,
    Lines,
    line_of,
    pair_html,
    table_of,
)
from workbench.view.compare.token_view import (
    REMEMBERED,
    SIDES,
    below_dropdown,
    first_place,
    fit,
    side_dropdown,
    state_of,
    token_slider,
)
from workbench.view.controls.explorer import Explorer
from workbench.view.html.elements import error_card, escape
from workbench.view.html.tokens import signed

PAGE = 8  # rows shown at a time
SEEN = 0.02  # nats by which two margins differ before it is said why
LONGEST_PROMPT = 90  # letters of a prompt in the table; the opened pair shows all
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
    if sort not in SORTS:
        raise WorkbenchError(f"sort={sort!r} is unknown; accepted: {', '.join(SORTS)}")
    table = _PairTable(run, sort, highest_first)
    return Explorer(table.draw, **table.controls)


class _PairTable:
    """What `explore_pairs` draws, and which pair and token it is about."""

    def __init__(self, run: Run, sort: str, highest_first: bool) -> None:
        self._run, self._lines = run, Lines()
        self._reference, self._policy = handles(run)
        self._frame = lru_cache(1)(lambda state: pair_frame(run))
        self._score = lru_cache(REMEMBERED)(self._compare)
        self._shown, self._going = "", False
        self.controls = _controls(sort, highest_first)
        self._row, self._side, self._token = (self.controls[n] for n in ("row", "side", "token"))
        fit(self._row, lambda: len(self.listed()), [self.controls["search"]])
        fit(self._token, self._length, [self._side])
        for name in ("sort", "direction", "search", "row"):
            self.controls[name].observe(self._go, "value")
        self._go()

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
        if not self._going:
            self._shown = self._draw(row - 1, SIDES.index(side), token - 1, below)
        return self._shown

    def _draw(self, place: int, side: int, at: int, below: str) -> str:
        found = self.listed()
        if found.empty:
            return f'<p style="{QUIET}">no pair has these letters in it</p>'
        place = min(place, len(found) - 1)
        head = pairs_table(found, place) + _texts(found.iloc[place])
        try:
            pair = self.opened()
        except WorkbenchError as error:
            return head + error_card(error)
        assert pair is not None
        head += rounding(float(found["margin"].iloc[place]), pair.margin)
        return head + pair_html(pair, self._policy.tokenizer, self._lines, side, at, below)

    def _compare(self, state: object, number: int) -> PairTokens:
        pair = self._run.data.held_out[number]
        sides = pair.chosen, pair.rejected
        return compare_pair(self._reference, self._policy, pair.prompt, *sides)

    def _length(self) -> int:
        """Tokens of the chosen side of the opened pair."""
        try:
            pair = self.opened()
        except WorkbenchError:  # which is drawn
            pair = None
        return 1 if pair is None else len((pair.chosen, pair.rejected)[self._side.index].ids)

    def _go(self, _: object = None) -> None:
        """Where another pair opens, go to the token that has the largest share of its margin."""
        self._going = True  # it is drawn once, at the end
        try:
            if not self.listed().empty:
                self._side.index, first = first_place(self._shares)
                self._token.max, self._token.value = self._length(), first
        finally:
            self._going = False

    def _shares(self) -> Iterable[Tensor]:
        pair = self.opened()
        return () if pair is None else pair.shares


def pair_frame(run: Run) -> pd.DataFrame:
    """`run.held_out_frame()` with `pair`, the place in the data; `margin` in nats; and `order`: 1
    where the chosen gained on the rejected, -1 where it lost, 0 in a tie."""
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


def pairs_table(frame: pd.DataFrame, place: int) -> str:
    """The page of the pairs on which the one at `place` stands, as an HTML table."""
    first = place - place % PAGE
    body = ""
    for number, (_, pair) in enumerate(frame.iloc[first : first + PAGE].iterrows(), first):
        prompt = f"<bdi>{escape(shorten(pair['prompt'], LONGEST_PROMPT))}</bdi>"
        mark = f"▶ <b>{number + 1}. {prompt}</b>" if number == place else f"{number + 1}. {prompt}"
        body += line_of(mark, *(write(pair[name]) for name, write in COLUMNS.values()))
    last = min(first + PAGE, len(frame))
    told = f"rows {first + 1} to {last} of {len(frame)} · log-ratios and margin in nats"
    told += f" · {frame['rewards/accuracies'].mean():.0%} of these are told apart"
    return f'<p style="{QUIET}">{told}</p>{table_of(("prompt", *COLUMNS), body, "wb-pairs")}'


def shorten(text: str, length: int) -> str:
    """At most `length` letters of a text, on one line.

    >>> shorten("one two three", 8)
    'one two …'
    """
    line = " ".join(text.split())
    return line if len(line) <= length else line[:length].rstrip() + " …"


def rounding(in_batch: float, alone: float) -> str:
    """A line of HTML where the table's margin and the opened pair's are seen to differ.

    Measured on SmolLM2 after three steps: up to 0.7 nats in bf16, where sums are rounded to three
    digits in an order that depends on the batch; in float32 they agree to four decimals.
    """
    if abs(in_batch - alone) < SEEN:
        return ""
    return (
        f'<p class="wb-rounding" style="{QUIET}">The table says {signed(in_batch)}, from a batch '
        f"of pairs; scored alone, as below, the margin is {signed(alone)}. In bf16 the last digits "
        "depend on what is computed together; with precision float32 both agree.</p>"
    )


def _texts(pair: Mapping[str, str]) -> str:
    """The three texts of a pair as HTML."""
    lines = "".join(
        f"<div><b>{part}:</b> <bdi>{escape(pair[part])}</bdi></div>" for part in ("prompt", *SIDES)
    )
    return f'<div class="wb-opened" style="{QUIET}; margin: 14px 0 8px">{lines}</div>'


def _controls(sort: str, highest_first: bool) -> dict[str, widgets.DOMWidget]:
    return {
        "sort": widgets.Dropdown(options=list(SORTS), value=sort, description="sort by"),
        "direction": widgets.Dropdown(
            options=DIRECTIONS, value=DIRECTIONS[highest_first], description="direction"
        ),
        "search": widgets.Text(description="search", placeholder="letters in any text"),
        "row": widgets.IntSlider(value=1, min=1, description="open row"),
        "side": side_dropdown(SIDES[0]),
        "token": token_slider(1),
        "below": below_dropdown([*UNDER, SHARE]),
    }
