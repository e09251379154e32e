"""How far a forecast is from what then happens: minutes and memory, forecast and run in turn.

    python benchmarks/forecast.py [NAME ...] [--rounds 3]

NAME is a case of `CASES`. Each run is made in a process of its own, behind its forecast, and
neither finds values of the reference that were computed before. A ratio is the forecast over what
was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from workbench.data.pairs import TextPair, read_pairs, write_jsonl
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.runs.forecast.forecast import forecast
from workbench.train.config import TrainConfig
from workbench.train.reference.values import VALUES_FOLDER

SIDES = ("chosen", "rejected")
# On a busy machine `auto` may take another precision for the run than for its forecast.
REAL = {"model": "smollm2", "held_out": 20, "precision": "bf16"}
CASES: dict[str, dict[str, Any]] = {
    "tiny": {"model": "tiny", "data": "reviews.jsonl"},
    "smollm2": {**REAL, "data": "assistant"},
    "lora": {**REAL, "data": "assistant", "lora": 8},
    "long": {**REAL, "data": "long.jsonl"},
    "short": {**REAL, "data": "short.jsonl"},
}
RUN = """
import json, sys, time
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
begin = time.perf_counter()
run = Run.create(TrainConfig(**json.loads(sys.argv[1])))
list(run)
print(json.dumps({**run.record.summary(), "wall_seconds": time.perf_counter() - begin}))
"""


def write_files(folder: Path) -> None:
    """Reviews; long rows, of six answers each; short rows, of the first words of each."""
    write_jsonl(Reviews(ReviewsConfig(pairs=2048)).preferences(None), folder / "reviews.jsonl")
    pairs = read_pairs("assistant").pairs
    long, short = [], []
    for number, pair in enumerate(pairs):
        others = [pairs[(number + step) % len(pairs)] for step in range(6)]
        chosen, rejected = ([getattr(one, side) for one in others] for side in SIDES)
        long.append(TextPair(pair.prompt, " ".join(chosen), " ".join(rejected)))
        chosen, rejected = (getattr(pair, side).split()[:6] for side in SIDES)
        short.append(TextPair(pair.prompt, " ".join(chosen), " ".join(rejected)))
    write_jsonl(long[::2], folder / "long.jsonl")
    write_jsonl(short, folder / "short.jsonl")


def measured(settings: dict[str, Any], folder: Path) -> dict[str, float]:
    """What the run took, in a process of its own."""
    told = json.dumps({**settings, "out": str(folder / "run")})
    found = subprocess.run(
        [sys.executable, "-c", RUN, told],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, VALUES_FOLDER: str(folder / "reference")},
    )
    return dict(json.loads(found.stdout.splitlines()[-1]))


def main() -> None:
    """Print a line per round and the medians of each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for name in given.names or CASES:
        ratios: list[tuple[float, ...]] = []
        for _ in range(given.rounds):
            with TemporaryDirectory() as temporary:
                folder = Path(temporary)
                write_files(folder)
                data = CASES[name]["data"]
                path = str(folder / data) if data.endswith(".jsonl") else data
                settings = {**CASES[name], "data": path, "seed": len(ratios)}
                begin = time.perf_counter()
                expected = forecast(TrainConfig(**settings))
                took = time.perf_counter() - begin
                found = measured(settings, folder)
            names = ("seconds", "wall_seconds", "peak_memory_bytes")
            ratios.append(tuple(getattr(expected, one) / found[one] for one in names))
            print(
                f"{name}: {found['steps']} steps in {found['seconds']:.1f} s, with all else "
                f"{found['wall_seconds']:.1f} s, {found['peak_memory_bytes'] / 1e9:.2f} GB; "
                f"forecast over measured {', '.join(f'{one:.2f}' for one in ratios[-1])}; "
                f"forecast took {took:.0f} s; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        middle = [median(column) for column in zip(*ratios, strict=True)]
        print(f"{name}: medians {', '.join(f'{one:.2f}' for one in middle)}", flush=True)


if __name__ == "__main__":
    main()
