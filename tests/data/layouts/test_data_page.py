"""The page on data names every layout, every option of reading, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.data.layouts.known_layouts import LAYOUTS
from workbench.data.layouts.reading import RANKED, TURNS

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_page_names_every_layout() -> None:
    rows = [line.split("|")[1:3] for line in PAGE.splitlines() if line.startswith("| ")]
    named = {columns.strip(): about for columns, about in rows}
    lists = {"prompt", "responses", *re.findall(r"\*(\w+)\*", named["prompt, responses"])}
    for layout in LAYOUTS:
        assert ", ".join(layout.columns) in named or lists.issuperset(layout.columns)


def test_the_page_names_what_can_be_said_of_a_file() -> None:
    assert set(re.findall(r"`--(\w[\w-]*)", PAGE)) == {
        "columns", "turns", "ranked", "min-gap", "allow-special", "data",
    }  # fmt: skip
    assert f"--turns {TURNS[1]}" in PAGE
    assert f"--ranked {RANKED[1]}" in PAGE
