"""Reward against KL of all methods, and reward hacking: five seeds each.

    python -m benchmarks.rlhf [--seeds 5] [--results FOLDER]

`recorded_rlhf` reads the shipped copies of both tables.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import workbench.__main__  # noqa: F401  sets what it wants of the environment; before torch
from benchmarks.report import RESULTS, save, show
from workbench.runs import best_within, reward_hacking, rlhf_frontier
from workbench.train.config import TrainConfig

CONFIG = TrainConfig(eval_every=32)
WITHIN = (1.0, 3.0, 6.0)  # nats


def main() -> None:
    """Train, print a summary and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    seeds, begin = range(given.seeds), time.perf_counter()

    def tell(words: str, share: float) -> None:
        print(f"{time.perf_counter() - begin:5.0f} s, {share:4.0%}: {words}", flush=True)

    frontier = rlhf_frontier(CONFIG, seeds=seeds, progress=tell)
    save(frontier, given.results, "rlhf_frontier")
    show("Highest true reward within a KL, mean over seeds", best_within(frontier, WITHIN))
    hacking = reward_hacking(seeds, progress=tell)
    save(hacking, given.results, "rlhf_hacking")
    last = hacking.groupby(["method", "seed"]).tail(1).groupby("method")
    show("Reward hacking: the last point", last[["kl", "score", "reward"]].mean().reset_index())


if __name__ == "__main__":
    main()
