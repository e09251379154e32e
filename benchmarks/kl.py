"""What the KL per position costs beside the log-ratios of the same answers.

    python -m benchmarks.kl [ROUNDS]

Two models score a few answers of random lengths, as an evaluation does. In every round both
estimates are made of the same answers, in random order, and the processor's time is compared.
Weights are drawn from a seed: they don't change the time.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.side_by_side import spread
from workbench.core.batch import SequenceBatch
from workbench.core.collation import collate_sequences
from workbench.core.fast.fast_kernels import FAST
from workbench.core.logps import completion_logps
from workbench.core.policy import Policy
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.reviews.world import Reviews
from workbench.train.base_model import new_model
from workbench.train.precision import computing, keep_freed_memory, set_threads
from workbench.train.reference.live import freeze

ROUNDS = 9
SMOLLM2 = TransformerConfig(49_152, dim=576, layers=30, heads=9, kv_heads=3, hidden_dim=1536)
# Shape, precision, fewest and most answers, longest prompt and longest answer.
CASES = {
    "tiny": (new_model(Reviews()).policy.config, "float32", (32, 96), 8, 40),
    "SmolLM2's shape": (SMOLLM2, "float32", (4, 12), 60, 40),
    "SmolLM2's shape in bf16": (SMOLLM2, "bf16", (4, 12), 60, 40),
}


def log_ratios(policy: Policy, reference: Policy, batch: SequenceBatch) -> object:
    """The estimate from the drawn tokens alone."""
    return [completion_logps(one, batch) for one in (policy, reference)]


ESTIMATES = {"log-ratios": log_ratios, "per position": FAST.scored_kl}


def answers(
    draw: random.Random, vocab: int, counts: tuple[int, int], *longest: int
) -> SequenceBatch:
    """Random tokens: prompts and completions up to their longest."""
    sizes = [
        [draw.randint(most // 2, most) for most in longest] for _ in range(draw.randint(*counts))
    ]
    texts = [[[draw.randrange(vocab) for _ in range(size)] for size in pair] for pair in sizes]
    return collate_sequences([(prompt, completion) for prompt, completion in texts], 0)


def seconds(work: Callable[[], object]) -> float:
    """Of the processor: what else runs on the machine does not count."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


@torch.no_grad()
def measure(name: str, rounds: int) -> None:
    """Print the median ratio of the rounds, and the seconds of each estimate."""
    shape, precision, counts, prompt, answer = CASES[name]
    policy = Transformer(shape, 0, FAST)
    set_threads(policy)
    keep_freed_memory()
    reference = freeze(Transformer(shape, 1, FAST), precision)
    draw = random.Random(0)
    found: dict[str, list[float]] = {which: [] for which in ESTIMATES}
    with computing(policy, "cpu", precision), computing(reference, "cpu", precision):
        for number in range(rounds + 1):
            batch = answers(draw, shape.vocab_size, counts, prompt, answer)
            for which in draw.sample(list(ESTIMATES), 2):
                took = seconds(partial(ESTIMATES[which], policy, reference, batch))
                if number:  # the first round warms up
                    found[which].append(took)
    ratio = spread([new / old for old, new in zip(*found.values(), strict=True)])
    took = ", ".join(f"{which} {spread(values).middle:.4f} s" for which, values in found.items())
    print(f"{name}: {ratio.middle:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) of the time; {took}")


if __name__ == "__main__":
    for case in CASES:
        measure(case, int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
