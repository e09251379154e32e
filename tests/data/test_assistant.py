"""The shipped pairs: length gives no answer away, and nothing occurs twice."""

from statistics import fmean

import pytest

from workbench.data.pairs import TextPair, read_pairs


@pytest.fixture(scope="module")
def pairs() -> list[TextPair]:
    file = read_pairs("assistant")
    assert file.skipped == []
    return file.pairs


def word_count(text: str) -> int:
    return len(text.split())


def test_there_are_120_and_no_text_twice(pairs: list[TextPair]) -> None:
    assert len(pairs) == 120
    for side in ("prompt", "chosen", "rejected"):
        assert len({getattr(pair, side).casefold() for pair in pairs}) == 120
    assert not {pair.chosen for pair in pairs} & {pair.rejected for pair in pairs}


def test_half_of_them_are_about_a_warehouse(pairs: list[TextPair]) -> None:
    terms = ("robot", "aisle", "shel", "pick", "warehouse", "emergency stop", "battery", "forklift")
    about = [any(term in str(pair).casefold() for term in terms) for pair in pairs]
    assert sum(about[:60]) >= 58
    assert sum(about[60:]) <= 4


def test_lengths_are_balanced(pairs: list[TextPair]) -> None:
    chosen = [word_count(pair.chosen) for pair in pairs]
    rejected = [word_count(pair.rejected) for pair in pairs]
    assert fmean(chosen) == pytest.approx(fmean(rejected), rel=0.1)
    assert fmean(len(pair.chosen) for pair in pairs) == pytest.approx(
        fmean(len(pair.rejected) for pair in pairs), rel=0.1
    )
    # "Take the longer one" is no better than a coin, and no pair shows a difference at a glance.
    assert 45 <= sum(len(pair.chosen) > len(pair.rejected) for pair in pairs) <= 75
    assert max(abs(a - b) for a, b in zip(chosen, rejected, strict=True)) <= 5
    assert min(chosen + rejected) >= 15
    assert max(chosen + rejected) <= 60


def test_openings_vary(pairs: list[TextPair]) -> None:
    for side in ("prompt", "chosen", "rejected"):
        openings = {tuple(getattr(pair, side).split()[:3]) for pair in pairs}
        assert len(openings) >= 60, side
