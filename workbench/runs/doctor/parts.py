"""The texts of the training and the held-out part of a run, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.data.split import plain

WORDS = 4  # of a completion that counts as shared; shorter ones are the same by chance


@dataclass(frozen=True)
class Shared:
    """How many held-out rows share a prompt, all completions, or a long completion with training.

    `rows` are those of the first two, by number.
    """

    total: int
    prompts: int
    whole: int
    completions: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Parts:
    """Rows as text: pairs, labelled completions or prompts."""

    training: Sequence[Any]
    held_out: Sequence[Any]

    @cached_property
    def shared(self) -> Shared:
        """What occurs in both parts, but for case and spaces."""
        prompts = {plain(text.prompt) for text in self.training}
        whole = {_completions(text) for text in self.training} - {()}
        single = {one for texts in whole for one in texts if len(one.split()) >= WORDS}
        kept = [(text.row, plain(text.prompt), _completions(text)) for text in self.held_out]
        prompt_rows = [row for row, prompt, _ in kept if prompt in prompts]
        whole_rows = [row for row, _, texts in kept if texts in whole]
        single_rows = [row for row, _, texts in kept if single.intersection(texts)]
        rows = sorted({*prompt_rows, *whole_rows})
        return Shared(len(kept), len(prompt_rows), len(whole_rows), len(single_rows), tuple(rows))


def _completions(text: Any) -> tuple[str, ...]:
    names = ("chosen", "rejected", "completion")
    return tuple(plain(value) for name in names if (value := getattr(text, name, "")))
