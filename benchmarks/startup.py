"""How soon it is there: the command line's help, and importing the core beyond torch.

    python -m benchmarks.startup [--rounds 7] [--results FOLDER]

Every measurement is a fresh process, in an order drawn anew in each round. The core is timed inside
its process, after torch: as a difference of two processes it would drown in their noise.
"""

from __future__ import annotations

import pkgutil
import random
import subprocess
import sys
import time

import pandas as pd

import workbench.core
from benchmarks.report import own_process, save, show
from benchmarks.side_by_side import spread

CORE = [f"workbench.core.{module.name}" for module in pkgutil.iter_modules(workbench.core.__path__)]
TIMED = (
    "import time, torch; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"
)
PROGRAMS = {
    "python -m workbench --help": ["-m", "workbench", "--help"],
    "python -c 'import torch'": ["-c", "import torch"],
    "importing the core after torch": ["-c", TIMED.format(", ".join(CORE))],
}


def seconds_of(program: list[str]) -> float:
    """How long a program takes, or what it prints if that is a number."""
    begin = time.perf_counter()
    said = subprocess.run([sys.executable, *program], stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - begin
    try:
        return float(said.stdout)
    except ValueError:
        return seconds


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of every program in every round; one more round warms the disk's cache up."""
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    order = random.Random(0)
    for number in range(rounds + 1):
        for name in order.sample(list(PROGRAMS), len(PROGRAMS)):
            found = seconds_of(PROGRAMS[name])
            if number:
                seconds[name].append(found)
    return seconds


def main() -> None:
    """Measure, print and write the table."""
    given = own_process(__doc__, rounds=7)
    rows = []
    for name, values in measure(given.rounds).items():
        found = spread(values)
        rows.append({"what": name, "seconds": found.middle, "q1": found.low, "q3": found.high})
    frame = pd.DataFrame(rows)
    show(f"Start, in seconds (median and quartiles of {given.rounds} rounds)", frame)
    save(frame, given.results, "startup")


if __name__ == "__main__":
    main()
