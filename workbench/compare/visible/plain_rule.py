"""The plain rule that tells policy from reference, fixed before any run was made.

The pairs `brief` ask for one thing: answer at once, in a sentence or two, and stop. In every pair
the chosen answer has fewer words than the rejected one. So, of two answers to one prompt, the rule
takes the one with fewer words for the policy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.compare.judging.judges import Outcomes, compare

LONGEST = 1_000_000  # words that an empty answer counts as


@dataclass(frozen=True)
class FewerWords:
    """A judge that prefers the answer with fewer words; as many are a tie.

    Words are what white space separates. An empty answer, which says nothing, has lost.
    """

    name: str = "fewer words"

    def __call__(
        self, prompts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str]
    ) -> Outcomes:
        a, b = (np.array([_worth(text) for text in side]) for side in (answers_a, answers_b))
        return Outcomes.of(prompts, answers_a, answers_b, compare(a, b).tolist())


def _worth(answer: str) -> float:
    words = len(answer.split())
    return -float(words or LONGEST)
