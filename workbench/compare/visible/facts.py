"""Forty questions with one-word answers: what a model still knows after training.

SmolLM2-135M-Instruct answers all of them rightly when it decodes greedily; they were chosen for
that out of 75. So none can be gained, and each one that is missed was lost in training.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from workbench.data.json_rows import read_json_rows

TOKENS = 32  # of an answer; the word has to stand within them


class Fact(NamedTuple):
    """A question, and the one word that a right answer contains."""

    question: str
    word: str


def read_facts(path: Path | None = None) -> list[Fact]:
    """Those of a JSONL file with `question` and `word`; by default the forty that ship."""
    path = path or Path(str(files("workbench.data").joinpath("facts.jsonl")))
    return [Fact(row["question"], row["word"]) for row in read_json_rows(path)]


def is_right(answer: str, word: str) -> bool:
    """Whether the word stands in the answer as a word of its own, in capitals or not.

    >>> is_right("The capital is PARIS.", "Paris"), is_right("Parisian cafes", "Paris")
    (True, False)
    """
    return word.casefold() in re.findall(r"\w+", answer.casefold())
