"""Faults that the doctor names, and false alarms in sound runs, all of them on the tiny model.

    python run.py bench doctor
    python benchmarks/doctor.py --seeds 5 6    other seeds

Every fault and every sound run is trained for each seed. The table says what was planted, what was
to be named and everything that was named; that of README.md is kept in benchmarks/doctor.csv.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import pandas as pd

from benchmarks import doctor_faults, doctor_trl
from benchmarks.doctor_faults import Plant, trained
from benchmarks.report import RESULTS
from workbench.runs.doctor import diagnose

SEEDS = (21, 22)  # no threshold was chosen by them
FAULTS = doctor_faults.FAULTS | doctor_trl.FAULTS
# Losses with their defaults, under which their answers still parse at the end; see README.md.
GOOD = (
    "dpo", "cdpo", "robust", "ipo", "hinge", "dpop", "rdpo", "apo_zero", "sppo_hard", "bco_pair",
    "nca_pair", "aot", "simpo", "orpo", "cpo", "kto", "sft", "bradley_terry", "ppo", "grpo",
    "best_of_n",
)  # fmt: skip


def sound(loss: str) -> Plant:
    """A run by this loss, with its defaults."""
    return lambda folder, seed: trained(folder, seed, loss=loss)


def main() -> None:
    """Train, diagnose, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--out", type=Path, default=RESULTS / "doctor.csv")
    parser.add_argument("--runs", type=Path, help="keep the runs in this folder")
    given, _ = parser.parse_known_args()
    good = {name: ("", sound(name)) for name in GOOD} | {"TRL: dpo": ("", doctor_trl.good)}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, (expected, plant) in {**FAULTS, **good}.items():
        for seed in given.seeds:
            with TemporaryDirectory() as parent:
                folder = (given.runs or Path(parent)) / f"{name}-{seed}"
                folder.parent.mkdir(parents=True, exist_ok=True)
                plant(folder, seed)
                report = diagnose(folder)
            named = [one.name for one in report.found]
            row = {"run": name, "seed": seed, "expected": expected, "named": "; ".join(named)}
            rows.append(row | {"right": expected in named if expected else not named})
            print(rows[-1], flush=True)
            pd.DataFrame(rows).to_csv(given.out, index=False)
    table = pd.DataFrame(rows)
    faults = table.expected != ""
    print(f"faults named: {table[faults].right.sum()} of {faults.sum()}")
    print(f"sound runs without an alarm: {table[~faults].right.sum()} of {(~faults).sum()}")


if __name__ == "__main__":
    main()
