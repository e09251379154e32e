"""The result of a check: right, not yet, or not right and where. As text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from torch import Tensor

RIGHT, NOT_YET, NOT_RIGHT = "right", "not yet", "not right"
SIGNS = {RIGHT: "✓", NOT_YET: "…", NOT_RIGHT: "✗"}
# Okabe and Ito 2008, as everywhere in the workbench; transparent, for light and dark themes.
COLOURS = {RIGHT: (0, 158, 115), NOT_YET: (0, 114, 178), NOT_RIGHT: (213, 94, 0)}
MOST_NUMBERS = 30  # of a tensor that are shown
MOST_LETTERS = 300  # of a line of text from a learner's function


@dataclass(frozen=True, repr=False)
class Verdict:
    """The result of one check; displayed when it is the last line of a cell.

    Attributes:
        name: of the exercise.
        state: "right", "not yet" (nothing written so far) or "not right".
        reason: what is wrong, in words.
        rows: the inputs of the first failure, then "target" and "yours", each (name, text).
        hint: only from the second failure on.
    """

    name: str
    state: str
    reason: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    hint: str = ""

    @property
    def passed(self) -> bool:
        """Whether the function is right."""
        return self.state == RIGHT

    def __bool__(self) -> bool:
        """As `passed`, so that `assert check(function)` works."""
        return self.passed

    def __str__(self) -> str:
        width = max((len(name) for name, _ in self.rows), default=0)
        lines = [f"{SIGNS[self.state]} {self.name}: {self.state}"]
        lines += [self.reason] if self.reason else []
        lines += [f"  {name:{width}}  {text}" for name, text in self.rows]
        lines += [f"Hint: {self.hint}"] if self.hint else []
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = ", ".join(map(str, COLOURS[self.state]))
        look = (
            f"border-left: 4px solid rgb({colour}); background: rgba({colour}, 0.10); "
            "padding: 8px 12px; border-radius: 4px; overflow-wrap: anywhere"
        )
        head = f"<strong>{SIGNS[self.state]} {escape(self.name)}: {self.state}</strong>"
        reason = f"<div><bdi>{escape(self.reason)}</bdi></div>" if self.reason else ""
        hint = f"<div><strong>Hint:</strong> {escape(self.hint)}</div>" if self.hint else ""
        state = self.state.replace(" ", "-")
        return (
            f'<div class="wb-verdict mathjax_ignore" data-state="{state}" style="{look}">'
            f"{head}{reason}{_table(self.rows)}{hint}</div>"
        )


def _table(rows: tuple[tuple[str, str], ...]) -> str:
    if not rows:
        return ""
    cell = "text-align: left; vertical-align: top; padding: 2px 16px 2px 0; background: none"
    code = "color: inherit; background: none; white-space: pre-wrap"
    written = "".join(
        '<tr style="background: none">'
        f'<th scope="row" style="{cell}; white-space: nowrap">{escape(name)}</th>'
        f'<td style="{cell}"><code style="{code}"><bdi>{escape(text)}</bdi></code></td></tr>'
        for name, text in rows
    )
    table = "border-collapse: collapse; margin: 6px 0; color: inherit; font-size: inherit"
    return f'<table style="{table}">{written}</table>'


def one_line(text: str) -> str:
    """Text from a learner's function on one line, without control characters.

    >>> one_line("a\\n  b\\x1b[31m")
    'a b [31m'
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(printable.split())
    return line if len(line) <= MOST_LETTERS else line[:MOST_LETTERS] + " …"


def brief(value: object) -> str:
    """A tensor or a number with four digits; of a large tensor the shape and the first numbers.

    >>> import torch
    >>> brief(torch.tensor([[0.12345, 2.0]]))
    '[[0.1235, 2]]'
    >>> brief(torch.zeros(9, 9))
    '0, 0, 0, 0, ... of shape (9, 9)'
    """
    if not isinstance(value, Tensor):
        return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))
    if value.numel() > MOST_NUMBERS:
        first = ", ".join(map(_digits, value.flatten()[:4].tolist()))
        return f"{first}, ... of shape {tuple(value.shape)}"
    return _nested(value.tolist())


def _nested(values: object) -> str:
    if isinstance(values, list):
        return "[" + ", ".join(map(_nested, values)) + "]"
    return _digits(values)


def _digits(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
