"""Which words two texts have in common, in their order; in bounded time, whatever the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

Block = tuple[int, int, int]  # start in the one text, start in the other, number of words

WORK = 1_000_000  # steps that the longest blocks may take, some ten milliseconds
SPAN = 4096  # words of each text that are compared at once


def common_blocks(one: Sequence[str], other: Sequence[str]) -> list[Block]:
    """Blocks of words that stand in both texts, ascending in both.

    Of ordinary texts the longest block, then the longest ones before and after it, and so on
    (Ratcliff and Metzener 1988). Where texts are long and repeat themselves, this takes up to the
    third power of their length: such texts get their longest common subsequence instead, which
    shares no fewer words, each `SPAN` words of the one with those at the same place in the other.

    >>> common_blocks("the room was small".split(), "the room was lovely".split())
    [(0, 0, 3)]
    """
    if _steps(one, other) <= WORK:
        matcher = SequenceMatcher(None, one, other, autojunk=False)
        return [(*block,) for block in matcher.get_matching_blocks() if block.size]
    blocks: list[Block] = []
    for start in range(0, min(len(one), len(other)), SPAN):
        span = slice(start, start + SPAN)
        for left, right in reversed([*_subsequence(one[span], other[span])]):
            left, right = left + start, right + start
            first, second, size = blocks[-1] if blocks else (0, 0, 0)
            if (left, right) == (first + size, second + size):
                blocks[-1:] = [(first, second, size + 1)]
            else:
                blocks.append((left, right, 1))
    return blocks


def _steps(one: Sequence[str], other: Sequence[str]) -> int:
    """The most that all blocks can take: each looks at every pair of equal words once more."""
    counts, others = Counter(one), Counter(other)
    equal = sum(count * others[word] for word, count in counts.items())
    return (equal + len(one)) * min(len(one), len(other))


def _subsequence(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Indices of a longest common subsequence, the last first (Hyyrö 2004).

    Bit i of a row is 0 where word i makes the subsequence of all words up to it longer by one.
    """
    places: dict[str, int] = {}
    for index, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << index
    every = row = (1 << len(one)) - 1
    rows = [row]
    for word in other:
        same = row & places.get(word, 0)
        row = ((row + same) | (row - same)) & every
        rows.append(row)
    left, right = len(one) - 1, len(other)
    while left >= 0 and right:
        if rows[right] >> left & 1:
            left -= 1
        elif rows[right - 1] >> left & 1:
            yield left, right - 1
            left, right = left - 1, right - 1
        else:
            right -= 1
