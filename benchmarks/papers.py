"""Published results in miniature: what was expected, what came out, and the interval.

    python run.py bench papers             all of them
    python run.py bench papers ipo bandit  some, by name

For each one, `benchmarks/results/papers/NAME.csv` holds all that was measured and
`NAME_claims.csv` the table that is printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from benchmarks.report import RESULTS, digits, save
from workbench.runs.papers import PAPERS, claims_table

FOLDER = RESULTS / "papers"


def main(names: Sequence[str]) -> None:
    """Measure the results of these names, all of them without any; print and save."""
    for name in names or PAPERS:
        paper, start = PAPERS[name], time.perf_counter()
        frame = paper.measure()
        table = claims_table(paper.claims(frame))
        save(frame, FOLDER, name)
        save(table, FOLDER, f"{name}_claims")
        print(f"\n{name}: {paper.title} ({paper.source}), {time.perf_counter() - start:.0f} s")
        shown = table.assign(
            interval=[
                f"{digits(a)} to {digits(b)}" for a, b in zip(table.low, table.high, strict=True)
            ]
        )
        shown = shown[["claim", "expected", "measured", "interval", "verdict"]]
        print(shown.map(digits).to_string(index=False), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
