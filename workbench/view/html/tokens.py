"""Token strips: which tokens there are, what each is, and whether it is scored. Pure functions.

The HTML stands for itself: roles and scores are told by words and by the kind of line as well as by
colour, text keeps its own colour, and whatever comes in is escaped and made visible.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor

from workbench.compare.mistakes import ROLES, Rows
from workbench.data.tokenizer import Tokenizer
from workbench.view.html.elements import escape

Numbers = Sequence[float | None]  # one a token; None where there is nothing to say
RIGHTLY = ("completion", "end")  # the roles that are to be scored
MARKS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
# Line and ground by role: grey dotted, blue solid, green solid, grey dashed; orange is a mistake.
LOOKS = {
    "prompt": ("dotted #888", "128, 128, 128"),
    "completion": ("solid #0072B2", "0, 114, 178"),
    "end": ("solid #009E73", "0, 158, 115"),
    "padding": ("dashed #888", "128, 128, 128"),
    "wrong": ("solid #D55E00", "213, 94, 0"),
}
FAINT_SHARE = 0.05  # of the largest value; below it a ground could not be seen
WRONG = " <small>✗</small>"
BOX = "display: inline-block; margin: 2px 1px; padding: 0 5px; border-radius: 4px; "
LABEL = "margin: 0 4px 0 8px; opacity: 0.75; font-family: system-ui, sans-serif"
MONO = "font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace"
CELL = "text-align: left; padding: 2px 10px; border-bottom: 1px solid rgba(128, 128, 128, 0.35)"


@dataclass(frozen=True)
class Strip:
    """One row of tokens as it is shown: texts, roles out of `ROLES`, and what is scored."""

    tokens: Sequence[str]
    roles: Sequence[str]
    scored: Sequence[bool]


def strips(rows: Rows, tokenizer: Tokenizer) -> tuple[Strip, Strip]:
    """The chosen and the rejected row of a pair."""
    chosen, rejected = (
        Strip(tokenizer.tokens(ids), [ROLES[role] for role in roles], scored)
        for ids, roles, scored in zip(
            rows.tokens.tolist(), rows.roles.tolist(), rows.scored.tolist(), strict=True
        )
    )
    return chosen, rejected


def visible(text: str) -> str:
    """Text as HTML in which blanks, line ends and what has no shape of its own can be seen.

    >>> visible(" a<b")
    '<i>␣</i>a&lt;b'
    >>> visible(chr(0x200B))
    '<i>U+200B</i>'
    """
    if not text:
        return "<i>(empty)</i>"
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in MARKS:
        return f"<i>{MARKS[character]}</i>"
    kind = unicodedata.category(character)
    if kind[0] in "CZ":  # controls, formats such as writing directions, halves, other blanks
        return f"<i>U+{ord(character):04X}</i>"
    # A sign that sits on the letter before it gets a letter to sit on.
    return escape(("◌" if kind in ("Mn", "Me") else "") + character)


def pair_strips(
    rows: Rows, tokenizer: Tokenizer, values: Tensor | None = None, name: str = ""
) -> str:
    """Both rows of a pair, as HTML.

    `values` (side, pos-1), in line with `token_logps`, stand under the tokens that they belong to;
    `name` says what they are.
    """
    both = strips(rows, tokenizer)
    numbers = [None, None] if values is None else [[None, *side] for side in values.tolist()]
    below = f" · under each token: {name}" if values is not None else ""
    return "".join(
        draw_strip(strip, f"{side}{below}", under)
        for side, strip, under in zip(("chosen", "rejected"), both, numbers, strict=True)
    )


def draw_strip(
    strip: Strip,
    title: str = "",
    values: Numbers | None = None,
    at: int | None = None,
    largest: float | None = None,
) -> str:
    """A row of boxes, grouped by role, as HTML; `values` stand under their tokens.

    Scored tokens are bold on coloured ground. A cross stands on tokens that are scored and should
    not be, and on those that should be and are not; an arrow and a frame on the token at place
    `at`. The ground under a value is strongest at `largest`; left open: at the strip's largest.
    """
    under: Numbers = values or [None] * len(strip.tokens)
    if largest is None:
        largest = max((abs(value) for value in under if value is not None), default=0.0)
    places = range(len(strip.tokens))
    tokens = zip(strip.tokens, strip.roles, strip.scored, under, places, strict=True)
    groups = []
    for role, members in groupby(tokens, lambda token: token[1]):
        listed = list(members)
        count = sum(scored for _, _, scored, _, _ in listed)
        label = f"{role}, {count} of {len(listed)} scored"
        boxes = " ".join(
            _box(text, role, scored, value, largest, values is not None, place == at)
            for text, _, scored, value, place in listed
        )
        groups.append(f'<small style="{LABEL}">{escape(label)}:</small> {boxes}')
    head = f"<div><b>{escape(title)}</b></div>" if title else ""
    body = f'<div style="{MONO}">{" ".join(groups)}</div>'
    return f'<div class="wb-strip" style="margin: 4px 0 10px">{head}{body}</div>'


def is_wrong(role: str, scored: bool) -> bool:
    """Whether a token is scored and should not be, or should be and is not."""
    return scored != (role in RIGHTLY)


def _box(
    text: str,
    role: str,
    scored: bool,
    value: float | None,
    largest: float,
    with_values: bool,
    marked: bool,
) -> str:
    wrong = is_wrong(role, scored)
    line, ground = LOOKS["wrong" if wrong else role]
    style = f"{BOX}border: 1px {line}"
    shown = f"<bdi>{visible(text)}</bdi>{WRONG if wrong else ''}"
    if scored:
        style += f"; border-bottom-width: 3px; background: rgba({ground}, 0.18)"
        shown = f"<b>{shown}</b>"
    told = f"{role}, {'scored' if scored else 'not scored'}{', which is wrong' if wrong else ''}"
    if marked:
        style += "; outline: 2px solid; outline-offset: 1px"
        shown = f"<small>▶</small>{shown}"
    below = _below(value, largest) if with_values else ""
    return f'<span title="{told}" style="{style}">{shown}{below}</span>'


def _below(value: float | None, largest: float) -> str:
    """A number with its sign; the ground is blue above 0, orange below, stronger further away."""
    if value is None:
        return "<br><small>&nbsp;</small>"
    share = abs(value) / largest if largest else 0.0
    if share < FAINT_SHARE:
        return f"<br><small>{signed(value)}</small>"
    ground = LOOKS["completion" if value > 0 else "wrong"][1]
    style = f"padding: 0 2px; background: rgba({ground}, {0.45 * share:.2f})"
    return f'<br><small style="{style}">{signed(value)}</small>'


def signed(value: float) -> str:
    """A number with two decimals and its sign.

    >>> signed(-0.001), signed(1.5), signed(-2)
    ('0.00', '+1.50', '−2.00')
    """
    rounded = f"{value:+.2f}".replace("-", "−")
    return "0.00" if rounded[1:] == "0.00" else rounded


def shift_table(strip: Strip, values: Mapping[str, Numbers] | None = None) -> str:
    """Input, what it predicts, and whether that is scored: the shift by one, as an HTML table.

    Args:
        strip: the row; its last token predicts nothing that is there.
        values: further columns, one number a token, as in `draw_strip`; those of the predicted
            token are shown.
    """
    columns = values or {}
    titles = ["place", "input", "predicts", "which is", "scored", *columns]
    head = "".join(f'<th style="{CELL}">{escape(title)}</th>' for title in titles)
    lines = []
    for place, text in enumerate(strip.tokens[:-1]):
        role, scored = strip.roles[place + 1], strip.scored[place + 1]
        words = [f"<bdi>{visible(token)}</bdi>" for token in (text, strip.tokens[place + 1])]
        target = f"<b>{words[1]}</b>" if scored else words[1]
        mark = ("yes" if scored else "no") + (WRONG if is_wrong(role, scored) else "")
        numbers = [column[place + 1] for column in columns.values()]
        cells = [
            str(place), words[0], target, escape(role), mark,
            *("" if number is None else signed(number) for number in numbers),
        ]  # fmt: skip
        ground = f"background: rgba({LOOKS[role][1]}, 0.15)" if scored else "background: none"
        filled = "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells)
        lines.append(f'<tr style="{ground}">{filled}</tr>')
    return (
        f'<table class="wb-shift" style="border-collapse: collapse; {MONO}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )
