"""The sweep behind the preset `visible`, on the real model: what can be told, and what it costs.

    python benchmarks/visible.py [--out FOLDER] [--lr ...] [--beta ...] [--epochs ...]
        [--ld-alpha A] [--fresh] [--seed S]

Writes `sweep.csv` and `answers.csv` to the folder after each run. The table that ships,
workbench/compare/visible/sweep.csv, is that of the defaults, followed by plain DPO (`--ld-alpha 1`)
with the settings of the preset. `--fresh` measures on prompts and facts that were written, and
committed, after the preset and its pairs were final.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.compare.visible.change_measures import unseen_prompts
from workbench.compare.visible.facts import read_facts
from workbench.compare.visible.preset_sweep import BETAS, EPOCHS, LRS, visible_sweep

HERE = Path(__file__).parent


def main() -> None:
    """Sweep, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/visible"))
    parser.add_argument("--lr", type=float, nargs="+", default=LRS)
    parser.add_argument("--beta", type=float, nargs="+", default=BETAS)
    parser.add_argument("--epochs", type=int, nargs="+", default=EPOCHS)
    parser.add_argument("--ld-alpha", type=float, default=0.0)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    asked: dict[str, Any] = {}
    if given.fresh:
        asked["prompts"] = unseen_prompts(HERE / "visible_fresh_prompts.jsonl")
        asked["facts"] = read_facts(HERE / "visible_fresh_facts.jsonl")
    grid = given.lr, given.beta, given.epochs
    for rows, answers in visible_sweep(*grid, **asked, ld_alpha=given.ld_alpha, seed=given.seed):
        rows.to_csv(given.out / "sweep.csv", index=False, float_format="%.4g")
        answers.to_csv(given.out / "answers.csv", index=False)
        print(rows.iloc[-1].round(4).to_string(), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
