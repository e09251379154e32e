"""Pairs filtered and edited, by hand or by rule; what was changed is noted in the pair."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from workbench.errors import WorkbenchError
from workbench.feedback.constitution.feedback_pairs import FeedbackPair

Where: TypeAlias = Collection[int] | Callable[[FeedbackPair], bool]
"""Pairs by their numbers from 1, or by a rule that says True of them."""


def drop_pairs(pairs: Sequence[FeedbackPair], where: Where) -> list[FeedbackPair]:
    """The pairs that `where` does not name."""
    return [pair for pair, named in _named(pairs, where) if not named]


def swap_pairs(pairs: Sequence[FeedbackPair], where: Where) -> list[FeedbackPair]:
    """All pairs, those that `where` names with chosen and rejected swapped, scores included."""
    return [swapped(pair) if named else pair for pair, named in _named(pairs, where)]


def swapped(pair: FeedbackPair) -> FeedbackPair:
    """A pair with its sides swapped; the probabilities become those of the new chosen side."""
    first, second = pair.score_first, pair.score_second
    return replace(
        pair, chosen=pair.rejected, rejected=pair.chosen, edited=_noted(pair, "swapped"),
        score_first=None if second is None else 1 - second,
        score_second=None if first is None else 1 - first,
    )  # fmt: skip


def edit_pair(pair: FeedbackPair, **texts: str) -> FeedbackPair:
    """A pair with other texts: `prompt`, `chosen` or `rejected`; what led to it stays."""
    changed: dict[str, Any] = {
        name: text for name, text in texts.items() if getattr(pair, name) != text
    }
    if wrong := set(texts) - {"prompt", "chosen", "rejected"}:
        raise WorkbenchError(
            f"{', '.join(sorted(wrong))}: not to be edited; accepted: prompt, chosen, rejected"
        )
    note = ", ".join(f"{name} edited" for name in changed)
    return replace(pair, **changed, edited=_noted(pair, note)) if changed else pair


def _noted(pair: FeedbackPair, note: str) -> str:
    return f"{pair.edited}, {note}" if pair.edited else note


def _named(pairs: Sequence[FeedbackPair], where: Where) -> list[tuple[FeedbackPair, bool]]:
    if callable(where):
        return [(pair, bool(where(pair))) for pair in pairs]
    if wrong := [number for number in where if not 1 <= number <= len(pairs)]:
        raise WorkbenchError(f"pair {wrong[0]} does not exist; accepted: 1 to {len(pairs)}")
    return [(pair, number in where) for number, pair in enumerate(pairs, start=1)]
