"""Token strips: the tokens of a row, the role of each, and whether it is scored. Pure functions.

Roles and scores are given in words and by the kind of line as well as by colour; text keeps its own
colour, and characters that cannot be seen are made visible.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor

from workbench.compare.mistakes import ROLES, Rows
from workbench.data.tokenizer import Tokenizer
from workbench.view.html.render import Html, escape, render

Numbers = Sequence[float | None]  # one per token; None where there is none
SCORED_ROLES = ("completion", "end")  # the roles that are to be scored
SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
FAINT_SHARE = 0.05  # of the largest value; below it a background could not be seen


@dataclass(frozen=True)
class Strip:
    """One row of tokens: texts, roles out of `ROLES`, and whether each is scored."""

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


def visible(text: str) -> Html:
    """Text as HTML in which blanks, line ends and characters without a shape can be seen.

    >>> visible(" a<b")
    '<i>␣</i>a&lt;b'
    >>> visible(chr(0x200B))
    '<i>U+200B</i>'
    """
    return Html("".join(map(_visible, text)) or "<i>(empty)</i>")


def _visible(character: str) -> str:
    if character in SIGNS:
        return f"<i>{SIGNS[character]}</i>"
    kind = unicodedata.category(character)
    if kind[0] in "CZ":  # controls, formats such as writing directions, surrogates, other blanks
        return f"<i>U+{ord(character):04X}</i>"
    # A combining mark gets a letter to sit on.
    return escape(("◌" if kind in ("Mn", "Me") else "") + character)


def pair_strips(
    rows: Rows, tokenizer: Tokenizer, values: Tensor | None = None, name: str = ""
) -> str:
    """Both rows of a pair, as HTML.

    `values` (side, pos-1), in line with `token_logps`, stand under the tokens that they belong to,
    under the title `name`.
    """
    both = strips(rows, tokenizer)
    numbers = [None, None] if values is None else [[None, *side] for side in values.tolist()]
    below = f" · under each token: {name}" if values is not None else ""
    return Html(
        "".join(
            draw_strip(strip, f"{side}{below}", under)
            for side, strip, under in zip(("chosen", "rejected"), both, numbers, strict=True)
        )
    )


def draw_strip(
    strip: Strip,
    title: str = "",
    values: Numbers | None = None,
    at: int | None = None,
    largest: float | None = None,
) -> str:
    """A row of boxes, grouped by role, as HTML; `values` stand under their tokens.

    Scored tokens are bold on coloured background. A cross stands on tokens that are scored and
    should not be, and on those that should be and are not; an arrow and a frame on the token at
    index `at`. The background of a value is strongest at `largest`; left out: at the strip's
    largest.
    """
    under: Numbers = values or [None] * len(strip.tokens)
    if largest is None:
        largest = max((abs(value) for value in under if value is not None), default=0.0)
    boxes = [
        {"text": visible(text), "role": role, "scored": scored, "wrong": is_wrong(role, scored),
         "value": None if value is None else signed(value),
         "strength": _strength(value, largest), "marked": index == at}
        for index, (text, role, scored, value) in enumerate(
            zip(strip.tokens, strip.roles, strip.scored, under, strict=True)
        )
    ]  # fmt: skip
    groups = [(role, list(members)) for role, members in groupby(boxes, lambda box: box["role"])]
    return render("strip", title=title, groups=groups, with_values=values is not None)


def _strength(value: float | None, largest: float) -> float:
    """Opacity of the background of a value, below 0 for values below 0; 0 where it is faint."""
    share = value / largest if value and largest else 0.0
    return 0.0 if abs(share) < FAINT_SHARE else 0.45 * share


def is_wrong(role: str, scored: bool) -> bool:
    """Whether a token is scored and should not be, or should be and is not."""
    return scored != (role in SCORED_ROLES)


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
        strip: the row; there is no token that its last one predicts.
        values: further columns, one number per token, as in `draw_strip`; those of the predicted
            token are shown.
    """
    columns = values or {}
    lines = [
        {"input": visible(strip.tokens[index - 1]), "target": visible(strip.tokens[index]),
         "role": strip.roles[index], "scored": strip.scored[index],
         "wrong": is_wrong(strip.roles[index], strip.scored[index]),
         "numbers": ["" if column[index] is None else signed(column[index] or 0.0)
                     for column in columns.values()]}
        for index in range(1, len(strip.tokens))
    ]  # fmt: skip
    return render("shift", titles=list(columns), lines=lines)
