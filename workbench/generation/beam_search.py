"""Beam search: the likeliest text instead of the likeliest token at each step.

A few texts, the beams, are followed for each prompt. A step scores every continuation, keeps the
best, and stores finished texts with their mean log-probability per token, end token included.
The rules are those of `transformers`: of twice as many candidates as beams only the first half may
finish, and a prompt is done when the best open text, if it ended now, would not beat the worst of a
full set of finished ones (`early_stopping=False` with `length_penalty=1`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from einops import rearrange, repeat
from torch import Tensor

from workbench.generation.config import SamplingConfig
from workbench.generation.decoding_rows import DecodingRows
from workbench.generation.filters import repetition_penalty
from workbench.generation.stops import Stops

Candidate = tuple[
    float, int, int
]  # sum of log-probabilities, index of the beam it continues, token


@dataclass
class _Search:
    """One prompt's texts: open ones with summed log-probabilities, finished ones with means."""

    beams: int
    max_new: int
    stops: Stops
    texts: list[list[int]] = field(init=False)
    totals: list[float] = field(init=False)
    finished: list[tuple[float, list[int]]] = field(default_factory=list)
    done: bool = False

    def __post_init__(self) -> None:
        self.texts = [[] for _ in range(self.beams)]
        self.totals = [0.0] + [-math.inf] * (self.beams - 1)  # all are equal: only one counts

    def advance(self, candidates: Iterable[Candidate]) -> list[int]:
        """Keep the best of `candidates`, best first; returns the parent beam of each."""
        if self.done:
            return list(range(self.beams))
        chosen: list[tuple[float, int, list[int]]] = []
        for rank, (total, parent, token) in enumerate(candidates):
            text = [*self.texts[parent], token]
            if total == -math.inf or len(chosen) == self.beams:
                break
            if len(text) < self.max_new and not self.stops.reached(text):
                chosen.append((total, parent, text))
            elif rank < self.beams:
                self.finished.append((total / len(text), text))
        missing = self.beams - len(chosen)
        chosen += [(-math.inf, 0, [*self.texts[0], 0])] * missing
        self.finished = sorted(self.finished, key=lambda scored: -scored[0])[: self.beams]
        self.totals = [total for total, _, _ in chosen]
        self.texts = [text for _, _, text in chosen]
        worst = self.finished[-1][0] if len(self.finished) == self.beams else -math.inf
        self.done = self.totals[0] / len(self.texts[0]) <= worst or missing == self.beams
        return [parent for _, parent, _ in chosen]

    def best(self) -> list[int]:
        """The best text so far; once the search is done, the best finished one."""
        texts = list(self.finished)
        if not self.done:
            texts.append((self.totals[0] / len(self.texts[0]), self.texts[0]))
        return max(texts, key=lambda scored: scored[0])[1]


def search(
    rows: DecodingRows, max_new: Sequence[int], config: SamplingConfig, stops: Stops
) -> Iterator[list[list[int]]]:
    """Yield the best text of each prompt after every step; later steps may replace it.

    The repetition penalty acts on log-probabilities here, as in `transformers`.
    """
    beams = config.beams
    searches = [_Search(beams, limit, stops) for limit in max_new]
    first = True
    while not all(state.done for state in searches):
        with torch.no_grad():
            logps = rows.logits().log_softmax(-1)
            if config.repetition_penalty != 1:
                logps = repetition_penalty(logps, rows.own_tokens(), config.repetition_penalty)
            if first:  # each prompt is read once, then copied for its beams
                logps = repeat(logps, "prompt vocab -> (prompt beam) vocab", beam=beams)
                rows.reorder([row for row in range(len(max_new)) for _ in range(beams)])
                first = False
            parents = []
            for number, candidates in enumerate(_candidates(logps, searches, stops)):
                chosen = searches[number].advance(candidates)
                parents += [number * beams + parent for parent in chosen]
            rows.reorder(parents)
            rows.append([text[-1] for state in searches for text in state.texts])
        yield [state.best() for state in searches]


def _candidates(logps: Tensor, searches: list[_Search], stops: Stops) -> list[list[Candidate]]:
    """The best continuations of each prompt, best first: enough to fill all beams if some end."""
    beams, vocab = searches[0].beams, logps.shape[-1]
    before = logps.new_tensor([state.totals for state in searches])[..., None]
    every = before + rearrange(logps, "(prompt beam) vocab -> prompt beam vocab", beam=beams)
    kept = min(max(2, 1 + len(stops.tokens)), vocab) * beams
    best = rearrange(every, "prompt beam vocab -> prompt (beam vocab)").topk(kept)
    return [
        [(total, index // vocab, index % vocab) for total, index in zip(*both, strict=True)]
        for both in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
