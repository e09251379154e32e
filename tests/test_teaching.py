"""The route for a class names lessons and sections that exist, and its minutes are two hours."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
ROUTE = re.findall(r"^\| (\d+) \| (?:`(\w+)` )?([^|]+) \|", TEXT, re.MULTILINE)
TIMES = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)


def headings(number: str) -> set[str]:
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return set(re.findall(r"^#+ (.+)$", text, re.MULTILINE))


def test_the_minutes_are_two_hours() -> None:
    assert sum(int(minutes) for minutes, _, _ in ROUTE) == 120


@pytest.mark.parametrize(("number", "sections"), [row[1:] for row in ROUTE if row[1]])
def test_sections_of_the_route_exist(number: str, sections: str) -> None:
    assert {section.strip() for section in sections.split(";")} <= headings(number)


def test_every_lesson_has_its_time() -> None:
    paths = (ROOT / "notebooks").glob("*.ipynb")
    assert sorted(path.stem.split("_")[0] for path in paths) == TIMES


def test_the_readme_leads_there() -> None:
    assert "(docs/teaching.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
