"""What a check looks at, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from workbench.data.pairs import EncodedPairs, PairFile, TextPair
from workbench.data.split import plain
from workbench.data.tokenizer import Tokenizer

LISTED = 12  # rows of a finding that are named


@dataclass(frozen=True)
class Finding:
    """Something in a file that a person should know of.

    Attributes:
        check: which check found it.
        wrong: whether training on it goes wrong; else it is suspicious only.
        rows: its rows, from 1; none where it concerns the whole file.
        text: what was found.
        fix: what to do about it.
    """

    check: str
    wrong: bool
    rows: tuple[int, ...]
    text: str
    fix: str

    @property
    def kind(self) -> str:
        """In a word."""
        return "wrong" if self.wrong else "suspicious"

    @property
    def where(self) -> str:
        """Its rows, the first ones by number."""
        rows = list(dict.fromkeys(self.rows))  # a row may give several pairs
        more = len(rows) - LISTED
        named = ", ".join(map(str, rows[:LISTED]))
        return f"{named} and {more:,} more" if more > 0 else named


@dataclass(frozen=True)
class Examined:
    """A file of pairs as text and as tokens of one model."""

    file: PairFile
    encoded: EncodedPairs
    tokenizer: Tokenizer
    max_length: int

    @property
    def pairs(self) -> list[TextPair]:
        """Those that can be used as text."""
        return self.file.pairs

    @cached_property
    def alike(self) -> list[tuple[str, str, str]]:
        """Prompt, chosen and rejected of each pair without the difference of case and spaces."""
        return [
            (plain(pair.prompt), plain(pair.chosen), plain(pair.rejected)) for pair in self.pairs
        ]


Check: TypeAlias = Callable[[Examined], Iterator[Finding]]


def rows_of_pairs(pairs: Sequence[TextPair]) -> tuple[int, ...]:
    """Their rows, ascending, each once."""
    return tuple(sorted({pair.row for pair in pairs}))
