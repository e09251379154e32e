"""Checks that read the texts alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from workbench.data.pairs import TextPair
from workbench.data.preflight.finding import Examined, Finding, rows_of_pairs


def repeated(seen: Examined) -> Iterator[Finding]:
    """The same pair more than once, letter by letter or but for case and spaces."""
    exact, near = defaultdict[Any, list[TextPair]](list), defaultdict[Any, list[TextPair]](list)
    for pair, alike in zip(seen.pairs, seen.alike, strict=True):
        exact[pair.prompt, pair.chosen, pair.rejected, pair.system].append(pair)
        near[(*alike, pair.system)].append(pair)
    again = [pair for group in exact.values() for pair in group[1:]]
    if again:
        yield Finding(
            "repeated pairs", False, rows_of_pairs(again),
            f"{len(again)} pairs stand in the file before, letter by letter",
            "remove them, or keep them if they are meant to count more",
        )  # fmt: skip
    counted = {id(pair) for pair in again}
    more = [pair for group in near.values() for pair in group[1:] if id(pair) not in counted]
    if more:
        yield Finding(
            "nearly repeated pairs", False, rows_of_pairs(more),
            f"{len(more)} pairs differ from one before in case and spaces only", "remove them",
        )  # fmt: skip


def contradicting(seen: Examined) -> Iterator[Finding]:
    """A preferred over B, and B over A."""
    order = defaultdict[Any, list[TextPair]](list)
    for pair, alike in zip(seen.pairs, seen.alike, strict=True):
        order[(*alike, pair.system)].append(pair)
    found = []
    for (prompt, chosen, rejected, system), pairs in order.items():
        if chosen < rejected and (other := order.get((prompt, rejected, chosen, system))):
            found += [*pairs, *other]
    if found:
        yield Finding(
            "contradictions", True, rows_of_pairs(found),
            f"{len(found)} pairs prefer A over B and, elsewhere in the file, B over A",
            "decide for one side; in doubt, remove both",
        )  # fmt: skip


def hardly_different(seen: Examined) -> Iterator[Finding]:
    """Chosen and rejected differ in case and spaces only."""
    found = [
        pair
        for pair, (_, chosen, rejected) in zip(seen.pairs, seen.alike, strict=True)
        if chosen == rejected
    ]
    if found:
        yield Finding(
            "sides that hardly differ", True, rows_of_pairs(found),
            f"in {len(found)} pairs chosen and rejected differ in case and spaces only",
            "remove them, unless that is what is to be learnt",
        )  # fmt: skip
