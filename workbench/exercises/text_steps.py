"""The exercises on texts; registered as those in `steps.py` are."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from workbench.exercises.random_inputs import Numbers
from workbench.exercises.registry import exercise
from workbench.feedback.constitution.review_rules import words_among


def _texts(numbers: Numbers) -> Iterator[tuple[list[str], list[str]]]:
    """Texts and forbidden words: next to full stops, inside of other words, in capitals."""
    yield ["the plot was good.", "the plot was awful.", "awful music and a good plot."], ["awful"]
    yield ["i liked it.", "i hated it.", "the room was poor, the view nice."], ["hated", "poor"]
    yield ["a poorly made chair.", "a poor chair.", "impoverished!"], ["poor"]
    yield ["Awful.", "I HATED the tour", "we loved it"], ["hated", "Awful"]
    yield ["", "dull dull dull", "dull? weak!"], ["weak", "dull"]
    yield ["anything goes.", "the soup was weak."], []


@exercise(
    _texts,
    hint="Compare whole words, without the punctuation beside them: re.findall(r'\\w+', text) "
    "gives them. Upper and lower case are the same word, in the texts and in the list. One "
    "forbidden word is enough.",
)
def breaks_principle(texts: list[str], words: list[str]) -> Tensor:
    """Whether each text has one of the words, [text] and [word] -> (text,) bool."""
    return torch.tensor([bool(words_among(text, words)) for text in texts])
