"""Kills and damage: what is lost, what differs in silence, what ends in a traceback.

python run.py bench faults
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import (
    damaged_files,
    damaged_runs,
    damaged_votes,
    hostile_models,
    killed_rounds,
    killed_runs,
)

SEED = 0
FAULTS: dict[str, Callable[[], int]] = {
    "200 kills of runs": lambda: killed_runs.run(200, SEED, print),
    "300 damaged run folders": lambda: damaged_runs.run(300, SEED, print),
    "10,000 damaged data files": lambda: damaged_files.run(
        10_000, SEED, damaged_files.word_tokenizer(), print
    ),
    "10,000 damaged files of votes": lambda: damaged_votes.run(10_000, SEED, print),
    "1,000 hostile model folders": lambda: hostile_models.run(1000, SEED, print),
    "40 kills of rounds": lambda: killed_rounds.run(40, SEED, print),
}


def main() -> None:
    """One after the other; ends with 1 where any has a problem."""
    bad = 0
    for words, measure in FAULTS.items():
        begin = time.monotonic()
        print(f"\n{words}", flush=True)
        bad += measure()
        print(f"{time.monotonic() - begin:.0f} s", flush=True)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
