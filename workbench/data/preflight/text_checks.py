"""Checks that read the texts alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from workbench.data.pairs import TextPair
from workbench.data.preflight.finding import Examined, Finding, rows_of_pairs

WORDS = re.compile(r"\w+")


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


def scored_otherwise(seen: Examined) -> Iterator[Finding]:
    """Pairs whose chosen side has the lower score, or the same one."""
    below = [pair for pair in seen.pairs if pair.gap is not None and pair.gap < 0]
    even = [pair for pair in seen.pairs if pair.gap == 0]
    if below:
        yield Finding(
            "chosen with the lower score", True, rows_of_pairs(below),
            f"in {len(below)} pairs the rejected side has the higher score",
            "see which is right, the labels or the scores; --min-gap 0.1 leaves such pairs out",
        )  # fmt: skip
    if even:
        yield Finding(
            "equal scores", False, rows_of_pairs(even),
            f"in {len(even)} pairs both sides have the same score",
            "such a pair teaches little; --min-gap 0.1 leaves it out",
        )  # fmt: skip


def prompts_alike(seen: Examined) -> Iterator[Finding]:
    """Prompts that differ in punctuation only, and so may be trained on and held out.

    Those that differ in case and spaces stay together in any case.
    """
    found = defaultdict[str, dict[str, list[TextPair]]](lambda: defaultdict(list))
    for pair, (prompt, _, _) in zip(seen.pairs, seen.alike, strict=True):
        if words := " ".join(WORDS.findall(prompt)):
            found[words][prompt].append(pair)
    groups = [
        [pair for pairs in prompts.values() for pair in pairs]
        for prompts in found.values()
        if len(prompts) > 1
    ]
    apart = [group for group in groups if len({pair.group or id(pair) for pair in group}) > 1]
    if apart:
        yield Finding(
            "prompts that are nearly the same", False,
            rows_of_pairs([pair for group in apart for pair in group]),
            f"{len(apart)} prompts come back with other punctuation: they may be trained on and be "
            "held out",
            "give such rows one value in a column `group`, which keeps them together",
        )  # fmt: skip
