"""How much a text repeats itself."""

from __future__ import annotations

import re

GRAM = 3  # words


def words_of(text: str) -> list[str]:
    """Words and punctuation marks.

    >>> words_of("It was good, I think.")
    ['It', 'was', 'good', ',', 'I', 'think', '.']
    """
    return re.findall(r"\w+|[^\w\s]", text)


def repetition(text: str, size: int = GRAM) -> float:
    """Share of a text's n-grams of `size` words that came before in it, 0 to 1; 0 for short texts.

    1 - distinct / all, which is seq-rep-n of Welleck et al. 2020 (Neural text generation with
    unlikelihood training), here over words and punctuation, case ignored.

    >>> repetition("so good, so good, so good,")  # 4 of 7 came before
    0.5714285714285714
    """
    words = [word.lower() for word in words_of(text)]
    grams = [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
