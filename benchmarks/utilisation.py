"""How much of the machine a step of SmolLM2 uses, and where the rest of its time goes.

    python -m benchmarks.utilisation [--rounds 5] [--pairs FILE] [--results FOLDER]

The peak is measured on the spot, as the rate of a large matrix product. What a step needs is
counted by formula, with the prompt of a pair read once and nothing padded or computed twice; so a
layout that repeats prompts, or a backward pass that recomputes, shows as a lower share.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import workbench.__main__  # noqa: F401  sets what it wants of the environment; before torch
from benchmarks.ours import Steps, places, prepared
from benchmarks.profile_step import by_part
from benchmarks.report import own_process, save, show
from benchmarks.side_by_side import spread
from benchmarks.training import BATCH, SMOLLM2
from workbench.core.batch import Pair
from workbench.core.transformer import Transformer

Row = dict[str, Any]
SIDE, TRIES = 2048, 8  # of the square product that gives the peak


def peak_rates() -> dict[str, float]:
    """FLOP/s of a large matrix product by precision, the best of several."""
    import torch

    found = {}
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
        seconds = []
        for _ in range(TRIES):
            begin = time.perf_counter()
            float((left @ right)[0, 0])
            seconds.append(time.perf_counter() - begin)
        found[name] = 2 * SIDE**3 / min(seconds)
    return found


def needed_flops(pairs: Sequence[Pair], policy: Transformer) -> dict[str, float]:
    """FLOPs of forward and backward over `pairs`, the prompt of each read once, by part.

    A product costs 2 FLOPs an element of its weight and token, and its backward pass twice that;
    attention has two products of `heads * head_dim` over each position that a token may see.
    """
    shape = policy.config
    width = shape.heads * shape.head_dim
    blocks = sum(weight.numel() for weight in policy.layers.parameters())
    tokens = sum(len(p.prompt) + len(p.chosen) + len(p.rejected) for p in pairs)
    scored = sum(len(p.chosen) + len(p.rejected) for p in pairs)
    return {
        "blocks": 6.0 * blocks * tokens,
        "head": 6.0 * shape.vocab_size * shape.dim * scored,
        "attention": 12.0 * shape.layers * width * sum(map(visible, pairs)),
    }


def visible(pair: Pair) -> int:
    """Over all tokens of a pair, the positions that each may see."""
    prompt = len(pair.prompt)
    sides = (len(pair.chosen), len(pair.rejected))
    return prompt * (prompt + 1) // 2 + sum(n * prompt + n * (n + 1) // 2 for n in sides)


def measure(
    name: str, pairs: list[Pair], rounds: int, peaks: Mapping[str, float]
) -> tuple[list[Row], list[Row]]:
    """Rows of both tables for one workload."""
    parts = prepared(pairs, model="smollm2", max_steps=rounds + 2)
    policy, precision = parts.model.policy, parts.config.precision
    assert isinstance(policy, Transformer)
    steps = Steps(parts)
    rates: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        chosen = [pairs[place] for place in places(parts.batches.at(number))]
        needed = sum(needed_flops(chosen, policy).values())
        for what, seconds in zip(("forward and backward", "whole step"), steps.take(), strict=True):
            if number:  # the first one warms up
                rates.setdefault(what, []).append(needed / seconds)
    rows = [rate_row(name, precision, *rate, peaks[precision]) for rate in rates.items()]
    spent = by_part(steps.take, policy.config.vocab_size)
    whole = sum(spent.values())
    profile: list[Row] = [
        {"workload": name, "part": part, "milliseconds": 1e3 * took, "share": took / whole}
        for part, took in spent.items()
    ]
    return rows, profile


def rate_row(name: str, precision: str, what: str, values: list[float], peak: float) -> Row:
    """One line of the table of rates."""
    found = spread(values)
    return {
        "workload": name,
        "precision": precision,
        "part": what,
        "gflops_per_second": found.middle / 1e9,
        "q1": found.low / 1e9,
        "q3": found.high / 1e9,
        "peak_gflops_per_second": peak / 1e9,
        "share_of_peak": found.middle / peak,
    }


def main() -> None:
    """Measure, print and write the three tables."""
    import pandas as pd

    given = own_process(__doc__, rounds=5)
    peaks = peak_rates()
    peak = pd.DataFrame([{"precision": k, "gflops_per_second": v / 1e9} for k, v in peaks.items()])
    show(f"Rate of a product of {SIDE} by {SIDE} matrices", peak)
    save(peak, given.results, "utilisation_peak")
    rows: list[Row] = []
    profiles: list[Row] = []
    for name in SMOLLM2:
        pairs = SMOLLM2[name](given.pairs, (given.rounds + 2) * BATCH)
        found, profile = measure(name, pairs, given.rounds, peaks)
        rows += found
        profiles += profile
    show("FLOP/s that a step needs and gets", pd.DataFrame(rows))
    save(pd.DataFrame(rows), given.results, "utilisation")
    table = pd.DataFrame(profiles)
    show("One step by part, under the profiler", table)
    save(table, given.results, "utilisation_profile")


if __name__ == "__main__":
    main()
