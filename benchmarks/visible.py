"""The sweep behind the preset `visible`, on the real model: what can be told, and what it costs.

    python benchmarks/visible.py [--out FOLDER] [--lr ...] [--beta ...] [--epochs ...]
        [--ld-alpha A]

Writes `sweep.csv` and `answers.csv` to the folder after each run. The table that ships,
workbench/compare/visible/sweep.csv, is that of the defaults, followed by plain DPO (`--ld-alpha 1`)
with the settings of the preset.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench.compare.visible.preset_sweep import BETAS, EPOCHS, LRS, visible_sweep


def main() -> None:
    """Sweep, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/visible"))
    parser.add_argument("--lr", type=float, nargs="+", default=LRS)
    parser.add_argument("--beta", type=float, nargs="+", default=BETAS)
    parser.add_argument("--epochs", type=int, nargs="+", default=EPOCHS)
    parser.add_argument("--ld-alpha", type=float, default=0.0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for rows, answers in visible_sweep(given.lr, given.beta, given.epochs, ld_alpha=given.ld_alpha):
        rows.to_csv(given.out / "sweep.csv", index=False, float_format="%.4g")
        answers.to_csv(given.out / "answers.csv", index=False)
        print(rows.iloc[-1].round(4).to_string(), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
