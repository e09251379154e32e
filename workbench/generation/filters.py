"""What is done to logits before a token is chosen: (row, vocab) in and out, one function each.

A new filter is one decorated function here: the field of `SamplingConfig`, its range and its flag
follow. Reading this file loads no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from torch import Tensor

RANKED_FIRST = 512  # most likely tokens that `top_p` looks at before it ranks a whole vocabulary


@dataclass(frozen=True)
class Filter:
    """A registered filter, and the setting that it brings.

    Attributes:
        help: one line.
        neutral: the value at which it does nothing, its default.
        low, high: the range of its value, inclusive.
    """

    function: Callable[[Tensor, Any], Tensor]
    help: str
    neutral: float
    low: float
    high: float

    def __call__(self, logits: Tensor, value: Any) -> Tensor:
        """The logits (row, vocab) with those of tokens that are not kept at minus infinity."""
        return logits if value == self.neutral else self.function(logits, value)


FILTERS: dict[str, Filter] = {}  # applied in this order, after the temperature


def sampling_filter(
    help: str, neutral: float, low: float, high: float
) -> Callable[[Callable[[Tensor, Any], Tensor]], Filter]:
    """Register a function as a filter under its own name."""

    def register(function: Callable[[Tensor, Any], Tensor]) -> Filter:
        entry = Filter(function, help, neutral, low, high)
        FILTERS[function.__name__] = entry
        return entry

    return register


@sampling_filter("keep this many likeliest tokens; 0: all", neutral=0, low=0, high=1_000_000)
def top_k(logits: Tensor, value: int) -> Tensor:
    """Keep the `value` largest of each row; ties with the last one are kept too."""
    smallest = logits.topk(min(value, logits.shape[-1])).values[:, -1:]
    return logits.masked_fill(logits < smallest, -math.inf)


@sampling_filter(
    "keep the likeliest tokens up to this probability", neutral=1.0, low=0.001, high=1.0
)
def top_p(logits: Tensor, value: float) -> Tensor:
    """Keep the fewest most likely tokens that sum to `value`, at least one (Holtzman et al. 2020).

    Ties with the last one are kept too.
    """
    probabilities = logits.softmax(-1)
    ranked = probabilities.topk(min(RANKED_FIRST, logits.shape[-1])).values
    if (ranked.sum(-1) < value).any():
        ranked = probabilities.sort(descending=True).values
    before = ranked.cumsum(-1) - ranked
    last = (before < value).sum(-1, keepdim=True) - 1
    return logits.masked_fill(probabilities < ranked.gather(-1, last), -math.inf)


@sampling_filter(
    "keep tokens this likely relative to the likeliest", neutral=0.0, low=0.0, high=1.0
)
def min_p(logits: Tensor, value: float) -> Tensor:
    """Keep tokens at least `value` times as likely as the most likely (Nguyen et al. 2024)."""
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(value), -math.inf)


@sampling_filter(
    "keep tokens of at least this times the largest probability squared",
    neutral=0.0,
    low=0.0,
    high=1.0,
)
def top_a(logits: Tensor, value: float) -> Tensor:
    """Keep tokens of at least `value` times the square of the largest probability.

    So few tokens remain of a peaked distribution, many of a flat one (top-a, from RWKV-LM's code).
    """
    logps = logits.log_softmax(-1)
    lowest = math.log(value) + 2 * logps.amax(-1, keepdim=True)
    return logits.masked_fill(logps < lowest, -math.inf)


def repetition_penalty(logits: Tensor, tokens: Tensor, value: float) -> Tensor:
    """Divide the logits of `tokens` (row, pos) by `value` where positive, else multiply them.

    Applied once per distinct token (Keskar et al. 2019, section 4.1). The paper divides all of
    them, which would favour repetition where logits are negative; `transformers` multiplies too.
    """
    own = logits.gather(-1, tokens)
    return logits.scatter(-1, tokens, (own / value).where(own > 0, own * value))


def contrast(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    """Scores log p_expert - log p_amateur of tokens that are likely under the expert, else -inf.

    Likely means at least `alpha` times the expert's largest probability (Li et al. 2023, section 3,
    with the amateur at temperature 1). Where both models agree, all these scores are equal.
    """
    if expert.shape != amateur.shape:
        raise WorkbenchError(
            f"the amateur has {amateur.shape[-1]} tokens, the policy {expert.shape[-1]}; "
            "accepted: two models with one vocabulary"
        )
    return min_p(expert, alpha).log_softmax(-1) - amateur.log_softmax(-1)
