"""The words that two texts share: as difflib finds them, or where that takes long as by hand."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.compare.answers import changed
from workbench.generation import common_words
from workbench.generation.common_words import SPAN, Block, common_blocks

WORDS = st.lists(st.sampled_from("abcd"), max_size=30)
REPEATED = [
    ("a b", "a c", 2000),  # every a
    ("a b c", "a b", 2667),  # 1333 times a b, and the last a
    ("a", "a", 4000),
    ("a", "b", 0),
    ("a b c d e f g", "g f e d c b a", None),
]


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this takes up to minutes")


def shared(blocks: list[Block]) -> int:
    return sum(size for _, _, size in blocks)


def check(blocks: list[Block], one: list[str], other: list[str]) -> None:
    """They are equal words, in order, and no two blocks could be one."""
    ends = (0, 0)
    for left, right, size in blocks:
        assert size
        assert one[left : left + size] == other[right : right + size]
        assert left >= ends[0]
        assert right >= ends[1]
        assert (left, right) != ends or ends == (0, 0)
        ends = left + size, right + size


def longest(one: list[str], other: list[str]) -> int:
    """The length of a longest common subsequence, by the table that defines it."""
    above = [0] * (len(other) + 1)
    for word in one:
        row = [0]
        for index, with_it in enumerate(other):
            row.append(above[index] + 1 if word == with_it else max(row[-1], above[index + 1]))
        above = row
    return above[-1]


@given(WORDS, WORDS)
def test_ordinary_texts_have_the_blocks_of_difflib(one: list[str], other: list[str]) -> None:
    blocks = common_blocks(one, other)
    check(blocks, one, other)
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    assert blocks == [tuple(block) for block in matcher.get_matching_blocks()[:-1]]
    assert changed(" ".join(one), " ".join(other)) == pytest.approx(1 - matcher.ratio())


@given(WORDS, WORDS)
def test_texts_that_would_take_long_share_as_many_words_as_can_be(
    one: list[str], other: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common_words, "WORK", -1)
        blocks = common_blocks(one, other)
    check(blocks, one, other)
    assert shared(blocks) == longest(one, other)


@pytest.mark.parametrize(("left", "right", "expected"), REPEATED)
def test_long_texts_that_repeat_themselves_take_no_time(
    left: str, right: str, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common_words, "SequenceMatcher", refuse)
    one, other = ((text.split() * 4000)[:4000] for text in (left, right))
    blocks = common_blocks(one, other)
    check(blocks, one, other)
    if expected is not None:
        assert shared(blocks) == expected
        assert changed(" ".join(one), " ".join(other)) == 1 - expected / 4000


def test_longer_texts_are_compared_a_span_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common_words, "SequenceMatcher", refuse)
    one = [str(number) for number in range(3 * SPAN + 5)]
    assert common_blocks(one, one) == [(0, 0, len(one))]
    other = one[: 2 * SPAN] + ["new"] * SPAN
    assert common_blocks(one, other) == [(0, 0, 2 * SPAN)]
    assert common_blocks(one, ["new", *one]) == [
        (0, 1, SPAN - 1), (SPAN, SPAN + 1, SPAN - 1), (2 * SPAN, 2 * SPAN + 1, SPAN - 1),
        (3 * SPAN, 3 * SPAN + 1, 5),
    ]  # fmt: skip
