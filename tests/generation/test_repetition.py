"""How much a text repeats itself, by hand."""

from __future__ import annotations

from workbench.generation.repetition import repetition


def test_repetition_by_hand() -> None:
    # a b a b a b: the threes are aba bab aba bab, of which two are new.
    assert repetition("a b A b a B") == 1 - 2 / 4
    assert repetition("a b c d") == repetition("a b") == repetition("") == 0.0
