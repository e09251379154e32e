"""How a file is to be read, where its columns leave that open."""

from __future__ import annotations

from dataclasses import dataclass

TURNS = ("last", "every")
RANKED = ("all", "best_worst")


@dataclass(frozen=True)
class Reading:
    """What a person says of a file.

    Attributes:
        columns: those with other names, such as "prompt=question,chosen=best".
        turns: the assistant's turns that are scored in a conversation: "last" or "every".
        ranked: the pairs that a list of answers gives: "all" of different scores, or "best_worst".
        min_gap: the least difference of two answers' scores (or ranks) in a pair.
    """

    columns: str | None = None
    turns: str = "last"
    ranked: str = "all"
    min_gap: float = 0.0
