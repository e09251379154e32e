"""Random inputs for exercises: seeded, float64, without symmetry, of several shapes.

Without symmetry, because a wrong formula is often right where the reference is uniform, beta is 1
or both completions are equally long. The last inputs are extreme: probabilities down to 1e-40,
rewards of hundreds of betas. The formulas as written still fit float64, so an answer need not be in
log-space to be right; but one with `log(p + 1e-8)` fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Table = tuple[Tensor, Tensor, Tensor, float]
Pairs = tuple[Tensor, Tensor, Tensor, Tensor, float]
Labelled = tuple[Tensor, Tensor, Tensor, Tensor, float]
TextRow = tuple[str, str, str]


class Numbers:
    """A seeded source of float64 tensors that does not touch the global random state."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Normally distributed numbers with mean 0."""
        return scale * torch.randn(shape, generator=self._generator, dtype=torch.float64)

    def probabilities(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Rows (..., response) that sum to 1; a larger `scale` makes them less uniform."""
        return self.normal(*shape, scale=scale).softmax(-1)

    def logps(self, *shape: int, longest: float) -> Tensor:
        """Log-probabilities of completions, between -longest and -longest / 10."""
        share = torch.rand(shape, generator=self._generator, dtype=torch.float64)
        return -longest * (0.1 + 0.9 * share)

    def tokens(self, count: int, vocab: int) -> Tensor:
        """(count,) token ids below `vocab`."""
        return torch.randint(vocab, (count,), generator=self._generator)


Draw = Callable[[Numbers], Iterator[tuple[Any, ...]]]


def tables(numbers: Numbers) -> Iterator[Table]:
    """Policy, reference, rewards, each (..., response), and beta."""
    for shape, sharpness, height, beta in (
        ((3,), 1.0, 1.0, 0.5),
        ((2, 4), 1.0, 1.0, 0.2),
        ((3, 3), 1.0, 2.0, 3.0),  # square: a sum over the wrong axis keeps the shape
        ((2, 1, 5), 2.0, 1.0, 0.7),
        ((2, 3), 30.0, 4.0, 0.05),
    ):
        policy = numbers.probabilities(*shape, scale=sharpness)
        reference = numbers.probabilities(*shape, scale=sharpness)
        yield policy, reference, numbers.normal(*shape, scale=height), beta


def pairs(numbers: Numbers) -> Iterator[Pairs]:
    """Summed log-probabilities of pairs, policy then reference, chosen then rejected, and beta."""
    for count, longest, shift, beta in (
        (3, 12.0, 2.0, 0.5),
        (1, 30.0, 4.0, 0.1),
        (5, 60.0, 5.0, 0.3),
        (4, 300.0, 30.0, 2.0),
    ):
        reference = numbers.logps(2, count, longest=longest)
        policy = reference + numbers.normal(2, count, scale=shift)
        yield *policy, *reference, beta


def rewards_of_pairs(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor]]:
    """Rewards of the chosen and of the rejected, each (pair,)."""
    for count, height in ((3, 1.0), (1, 2.0), (6, 5.0), (4, 80.0)):
        yield numbers.normal(count, scale=height), numbers.normal(count, scale=height)


def margins(numbers: Numbers) -> Iterator[tuple[Tensor, float]]:
    """Margins (pair,) and beta."""
    for count, width, beta in ((3, 2.0, 0.5), (1, 1.0, 2.0), (5, 10.0, 0.1), (4, 60.0, 3.0)):
        yield numbers.normal(count, scale=width), beta


def rows(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Logits (pos, vocab), tokens (pos,), and a mask (pos,) that scores the tokens between
    prompt and padding; one row scores two answers with a question between them."""
    for width, vocab, scored, scale in (
        (4, 3, ((2, 3),), 1.0),
        (6, 5, ((1, 4),), 1.0),
        (7, 7, ((3, 7),), 2.0),
        (9, 4, ((2, 4), (6, 8)), 1.0),
        (8, 6, ((4, 7),), 60.0),
    ):
        mask = torch.zeros(width, dtype=torch.bool)
        for begin, end in scored:
            mask[begin:end] = True
        yield numbers.normal(width, vocab, scale=scale), numbers.tokens(width, vocab), mask


def row_lengths(numbers: Numbers) -> Iterator[tuple[int, int, int]]:
    """Lengths of prompt and completion, and the row's width."""
    yield from ((3, 2, 8), (1, 4, 6), (5, 1, 9), (2, 3, 5), (4, 7, 12))


def scored_texts(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor]]:
    """Log-probabilities of tokens (row, pos) and a mask (row, pos), texts of different lengths."""
    for lengths, longest in (((4, 1), 3.0), ((2, 5, 3), 4.0), ((6,), 2.0), ((1, 9, 4), 40.0)):
        width = max(lengths) + 2
        mask = torch.arange(width) < torch.tensor(lengths)[:, None]  # (row, pos)
        mask = mask.roll(1, -1)  # the first token has no prediction and is not scored
        yield numbers.logps(len(lengths), width, longest=longest), mask


def betas(numbers: Numbers) -> Iterator[tuple[float]]:
    """Values of beta."""
    yield from ((0.3,), (1.7,), (0.1,), (0.8,), (0.02,))


def samples(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor]]:
    """Log-probabilities of the policy's own samples (sample,), under policy and reference."""
    for count, longest, shift in ((3, 10.0, 1.0), (1, 20.0, 2.0), (8, 60.0, 4.0), (5, 300.0, 40.0)):
        policy = numbers.logps(count, longest=longest)
        yield policy, policy - 0.4 * shift + numbers.normal(count, scale=shift)


def labelled(numbers: Numbers) -> Iterator[Labelled]:
    """Summed log-probabilities of completions under policy and reference, labels, log-ratios of
    mismatched completions, each (item,), and beta. Of the latter one mean is below 0."""
    for count, good, longest, shift, typical, beta in (
        (3, 1, 12.0, 2.0, 1.5, 0.5),
        (4, 3, 30.0, 4.0, -2.0, 0.1),
        (6, 2, 60.0, 5.0, 3.0, 0.3),
        (5, 4, 300.0, 30.0, 8.0, 1.5),
    ):
        reference = numbers.logps(count, longest=longest)
        policy = reference + numbers.normal(count, scale=shift)
        mismatched = typical + numbers.normal(count, scale=abs(typical))
        yield policy, reference, torch.arange(count) < good, mismatched, beta


def text_pairs(numbers: Numbers) -> Iterator[tuple[list[TextRow]]]:
    """(prompt, chosen, rejected): a prompt twice, a text on both sides, a pair twice."""
    one, two = ("How was it?", "Superb.", "Awful."), ("How was it?", "Superb.", "So so.")
    other = ("And the film?", "So so.", "Superb.")
    for pairs in ([one], [one, two], [two, other], [other, one, other]):
        yield (pairs,)


def episodes(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor, float, float]]:
    """Rewards and values (token,) of one completion, discount and lambda."""
    for count, scale, discount, gae_lambda in (
        (3, 1.0, 0.9, 0.5),
        (1, 1.0, 0.7, 0.8),
        (6, 1.0, 1.0, 0.95),
        (5, 2.0, 0.6, 1.0),
        (4, 1.0, 0.8, 0.0),
        (40, 300.0, 0.99, 0.95),
    ):
        rewards = numbers.normal(count, scale=scale)
        yield rewards, numbers.normal(count, scale=scale), discount, gae_lambda


def ratios(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    """New and old log-probabilities of tokens and their advantages, (token,) each, and clip."""
    for count, change, clip in ((4, 0.3, 0.2), (12, 0.5, 0.1), (30, 0.4, 0.3), (20, 8.0, 0.2)):
        old = numbers.logps(count, longest=12.0)
        logps = old + numbers.normal(count, scale=change)
        yield logps, old, numbers.normal(count), clip
