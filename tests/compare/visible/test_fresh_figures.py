"""What lesson 10 and the table of the benchmarks say of fresh prompts is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[3]
FRESH = pd.read_csv(ROOT / "benchmarks" / "visible_fresh.csv")


def test_the_lesson_says_what_was_measured() -> None:
    cells = json.loads((ROOT / "notebooks/10_real_model.ipynb").read_text(encoding="utf-8"))[
        "cells"
    ]
    (said,) = [text for cell in cells if "On 48 prompts" in (text := "".join(cell["source"]))]
    rule, judge = (FRESH[f"told/{name}"] for name in ("fewer words", "reward model"))
    assert f"the rule told {rule.min() * 100:.0f} to {rule.max():.0%}" in said
    assert f"the reward model {judge.min() * 100:.0f} to {judge.max():.0%}" in said
    assert f"at {FRESH.kl.min():.1f} to {FRESH.kl.max():.1f} nats" in said
    assert f"{FRESH.facts_after.min():.0f} or {FRESH.facts_after.max():.0f} were left" in said
    assert (FRESH.facts_before == 40).all()


def test_the_table_has_a_line_for_every_seed() -> None:
    table = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for row in FRESH.to_dict("records"):
        line = (
            f"| {row['seed']} | {row['told/fewer words']:.0%} | {row['told/reward model']:.0%} | "
            f"{row['words_before']:.0f}, {row['words_after']:.0f} | "
            f"{row['kl']:.1f} ± {row['kl_se']:.1f} | {row['facts_after']} | {row['seconds']:.0f} |"
        )
        assert line in table
