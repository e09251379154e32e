"""Kills and damage: what is lost, what differs in silence, what ends in a traceback.

python -m benchmarks.faults [NAME ...] [--count N] [--seed N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks import (
    damaged_files,
    damaged_runs,
    damaged_votes,
    hostile_models,
    killed_rounds,
    killed_runs,
)


class Fault(NamedTuple):
    """`run(count, seed, tell)` gives the number of problems."""

    words: str
    run: Callable[[int, int, Callable[[str], None]], int]
    count: int


FAULTS = {
    "kills": Fault("kills of runs", killed_runs.run, 200),
    "runs": Fault("damaged run folders", damaged_runs.run, 300),
    "files": Fault("damaged data files", damaged_files.run, 10_000),
    "votes": Fault("damaged files of votes", damaged_votes.run, 10_000),
    "models": Fault("hostile model folders beside those listed", hostile_models.run, 1000),
    "rounds": Fault("kills in the middle of rounds", killed_rounds.run, 40),
}


def main() -> None:
    """One after the other; ends with 1 where any has a problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FAULTS))
    parser.add_argument("--count", type=int, help="left out: as many as each has by default")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in FAULTS]:
        parser.error(f"unknown: {', '.join(unknown)}; accepted: {', '.join(FAULTS)}")
    bad = 0
    for name in given.names or FAULTS:
        fault, begin = FAULTS[name], time.monotonic()
        count = fault.count if given.count is None else given.count
        print(f"\n{count:,} {fault.words}", flush=True)
        bad += fault.run(count, given.seed, print)
        print(f"{time.monotonic() - begin:.0f} s", flush=True)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
