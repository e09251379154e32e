"""How soon it is there: the command line's help, and importing the core beyond torch.

    python -m benchmarks.startup [--rounds 7] [--results FOLDER]

Every measurement is a fresh process, in an order drawn anew in each round.
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
PROGRAMS = {
    "python -m workbench --help": ["-m", "workbench", "--help"],
    "import torch": ["-c", "import torch"],
    "import torch and the core": ["-c", f"import torch, {', '.join(CORE)}"],
}


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of every program in every round; one more round warms the disk's cache up."""
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    order = random.Random(0)
    for number in range(rounds + 1):
        for name in order.sample(list(PROGRAMS), len(PROGRAMS)):
            begin = time.perf_counter()
            subprocess.run([sys.executable, *PROGRAMS[name]], stdout=subprocess.DEVNULL, check=True)
            if number:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def main() -> None:
    """Measure, print and write the table."""
    given = own_process(__doc__, rounds=7)
    seconds = measure(given.rounds)
    torch, both = seconds["import torch"], seconds["import torch and the core"]
    seconds["the core beyond torch"] = [
        core - alone for core, alone in zip(both, torch, strict=True)
    ]
    rows = []
    for name, values in seconds.items():
        found = spread(values)
        rows.append({"what": name, "seconds": found.middle, "q1": found.low, "q3": found.high})
    frame = pd.DataFrame(rows)
    show(f"Start, in seconds (median and quartiles of {given.rounds} rounds)", frame)
    save(frame, given.results, "startup")


if __name__ == "__main__":
    main()
