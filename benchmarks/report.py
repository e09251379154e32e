"""From measurements to a table on the terminal and a CSV file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.side_by_side import Outcome, ratios, spread
from workbench.data.pairs import ASSISTANT

RESULTS = Path(__file__).parent / "results"
SHOWN = {  # columns of a side-by-side table on the terminal, with their headings
    "contender": "contender",
    "rate": "{unit}",
    "rate_range": "half of the rounds",
    "ratio": "ours / this",
    "ratio_range": "half of the rounds",
    "peak": "peak memory",
    "tokens_per_pair": "tokens per pair",
    "precision": "precision",
}


def outcome_rows(workload: str, unit: str, items: int, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """One row a contender.

    Args:
        workload, unit: names, such as "short" and "pairs/s".
        items: how many of the unit a round holds.
        outcomes: ours first; `ratio` is how many times as fast it was as the row's contender, or
            how many times as fast the one was that the row's contender is to stand `beside`.
    """
    seconds = {found.contender.name: found.seconds for found in outcomes}
    rows = []
    for found in outcomes:
        rate = spread([items / seconds for seconds in found.seconds])
        beside = seconds[found.contender.beside or outcomes[0].contender.name]
        ratio = spread(ratios(beside, found.seconds))
        rows.append(
            {
                "workload": workload,
                "contender": found.contender.name,
                "unit": unit,
                "rate": rate.middle,
                "rate_q1": rate.low,
                "rate_q3": rate.high,
                "ratio": ratio.middle,
                "ratio_q1": ratio.low,
                "ratio_q3": ratio.high,
                "rounds": len(found.seconds),
                "peak_memory_bytes": found.peak,
                "tokens_per_pair": found.facts.get("tokens_per_pair"),
                "precision": found.facts["precision"],
                "setting": found.contender.words,
            }
        )
    return pd.DataFrame(rows)


def show_outcomes(title: str, frame: pd.DataFrame) -> None:
    """Print rows of `outcome_rows`, and each contender's setting below them."""
    unit = frame["unit"].iloc[0]
    shown = frame.assign(
        rate_range=_range(frame, "rate"),
        ratio_range=_range(frame, "ratio"),
        peak=[f"{size / 1e9:.2f} GB" for size in frame["peak_memory_bytes"]],
    )
    shown = shown[[name for name in SHOWN if shown[name].notna().all()]]
    show(title, shown.rename(columns={key: text.format(unit=unit) for key, text in SHOWN.items()}))
    for row in frame.itertuples():
        print(f"  {row.contender}: {row.setting}")


def _range(frame: pd.DataFrame, name: str) -> list[str]:
    pairs = zip(frame[f"{name}_q1"], frame[f"{name}_q3"], strict=True)
    return [f"{digits(low)} to {digits(high)}" for low, high in pairs]


def digits(value: Any) -> str:
    """A number with three digits that count; anything else as it is."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(title: str, frame: pd.DataFrame) -> None:
    """Print a table under its title."""
    print(f"\n{title}")
    print(frame.map(digits).to_string(index=False), flush=True)


def save(frame: pd.DataFrame, folder: Path, name: str) -> None:
    """Write `name`.csv, replacing an older one."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def own_process(words: str, rounds: int) -> argparse.Namespace:
    """The arguments of a benchmark that runs in a process of its own."""
    parser = argparse.ArgumentParser(description=words.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--pairs", default=ASSISTANT)
    return parser.parse_args()
