"""Inputs in float32 and far from 0, where a formula that is right on paper may overflow.

float32 holds exp(x) up to x = 88 and down to about x = -103; these inputs have exponents of up to
a few hundred. A function that works in Python's own floats, which reach 709, is right on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.exercises.random_inputs import Draw, Numbers


@dataclass(frozen=True)
class Far:
    """Inputs far from 0, and why a function that is right near 0 fails on them.

    Attributes:
        draw: the inputs; their tensors of numbers are given to the function in float32.
        reason: what overflows, and which function does not.
    """

    draw: Draw
    reason: str

    def cases(self) -> Iterator[tuple[Any, ...]]:
        """The same inputs at every call, floats as float32."""
        for inputs in self.draw(Numbers(seed=1)):
            yield tuple(_float32(value) for value in inputs)


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _pairs(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, float]]:
    """Pairs ranked badly wrong, and one that is ranked clearly right: beta times margin is -200,
    -120 and 150."""
    rejected = _tensor(-250.0, -180.0, -330.0)
    zero = torch.zeros_like(rejected)
    yield rejected + _tensor(-100.0, -60.0, 75.0), rejected, zero - 50, zero - 50, 2.0


def _rewards(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor]]:
    yield _tensor(250.0, 100.0, -50.0), _tensor(249.0, 280.0, -250.0)


def _margins(numbers: Numbers) -> Iterator[tuple[Tensor, float]]:
    yield _tensor(-150.0, -60.0, 1.0, 100.0), 2.0


def _tables(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Reference, rewards and beta; rewards of up to 250 betas, of both signs."""
    reference = numbers.probabilities(2, 3)
    yield reference, torch.stack([_tensor(25.0, 24.9, 3.0), _tensor(-24.9, -25.0, -24.8)]), 0.1


def _partitions(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    """Policy, reference, log Z of 200 and -200, and beta."""
    yield numbers.probabilities(2, 3), numbers.probabilities(2, 3), _tensor(200.0, -200.0), 0.1


def _rows(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    logits = torch.zeros(4, 3, dtype=torch.float64)
    logits[1, 2], logits[2, 0] = -150.0, 200.0  # the tokens at 2 and 3 are all but excluded
    yield logits, torch.tensor([0, 1, 2, 1]), torch.tensor([False, False, True, True])


def _texts(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor]]:
    yield -3 - numbers.logps(2, 60, longest=3.0).abs(), torch.arange(60).expand(2, 60) > 0


def _samples(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor]]:
    policy = _tensor(-150.0, -200.0, -130.0)
    yield policy, policy - _tensor(3.0, -1.0, 2.0)


def _labelled(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, float]]:
    change = _tensor(-100.0, 60.0, 90.0, -60.0)
    labels = torch.tensor([True, True, False, False])
    yield change - 200, torch.zeros_like(change) - 200, labels, _tensor(1.0, 3.0), 2.0


def _ratios(numbers: Numbers) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    old = _tensor(-110.0, -130.0, -120.0)
    yield old + _tensor(0.5, -0.3, 0.1), old, _tensor(1.0, -2.0, 0.5), 0.2


_EXCLUDED = "Below -104 exp gives 0"
PAIRS = Far(
    _pairs,
    "sigmoid(x) is 0 for x below -104, and log of it -inf; exp(-x) is inf. "
    "torch.nn.functional.logsigmoid takes both steps in one and holds.",
)
PREFERENCES = Far(
    _pairs, "exp(x) is inf for x above 88, and inf / inf is nan. torch.sigmoid of the margin holds."
)
REWARDS = Far(
    _rewards,
    "exp of a reward above 88 is inf, and inf / inf is nan. Only the difference counts: take it "
    "first, then torch.sigmoid.",
)
MARGINS = Far(_margins, "exp(x) is inf for x above 88, and inf / inf is nan. torch.sigmoid holds.")
TABLES = Far(
    _tables,
    "exp(reward / beta) is inf for reward / beta above 88 and 0 below -104. Stay with logarithms: "
    "softmax or logsumexp of log reference + reward / beta.",
)
PARTITIONS = Far(
    _partitions, "exp(log Z) is inf for log Z above 88 and 0 below -104. Add log Z as it is."
)
ROWS = Far(_rows, f"{_EXCLUDED}, and the logarithm of a softmax is -inf there. log_softmax holds.")
TEXTS = Far(
    _texts,
    f"{_EXCLUDED}, and so is the product of some dozen probabilities. Take the mean of the "
    "log-probabilities, then a single exp.",
)
SAMPLES = Far(_samples, f"{_EXCLUDED}, and 0 / 0 is nan. Subtract the log-probabilities.")
LABELLED = Far(
    _labelled, "exp(x) is inf for x above 88, and inf / inf is nan. torch.sigmoid holds."
)
RATIOS = Far(
    _ratios, f"{_EXCLUDED}, and 0 / 0 is nan. Subtract the log-probabilities, then take exp."
)
