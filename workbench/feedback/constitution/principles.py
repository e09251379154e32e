"""Principles: what answers are judged by (Bai et al. 2022, "Constitutional AI").

A file of principles is JSON or JSONL, to be edited by hand: objects with `name`, `text` and, where
a rule of the reviews world checks the same, `rule`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.data.cache import atomic_write
from workbench.data.json_rows import read_json_rows
from workbench.errors import WorkbenchError
from workbench.feedback.constitution.review_rules import RULES
from workbench.paths import given_path

FIELDS = ("name", "text", "rule")


@dataclass(frozen=True)
class Principle:
    """One principle.

    Attributes:
        name: short, for tables and files.
        text: the principle as a model is told it.
        rule: of `RULES`, which checks it in the reviews world; empty where none does.
    """

    name: str
    text: str
    rule: str = ""

    def __post_init__(self) -> None:
        for part in FIELDS:
            if not isinstance(getattr(self, part), str):
                raise WorkbenchError(f"{part}={getattr(self, part)!r} is not accepted: a text is")
        if not self.name.strip():
            raise WorkbenchError("a principle has no name: give it a short one")
        if not self.text.strip():
            raise WorkbenchError(
                f"principle {self.name!r} is empty: its text says what is asked of an answer"
            )
        if self.rule and self.rule not in RULES:
            raise WorkbenchError(
                f"rule={self.rule!r} of principle {self.name!r} is unknown; accepted: "
                + ", ".join(RULES)
            )


# One for each rule of the reviews world, under the rule's name.
PRINCIPLES: tuple[Principle, ...] = tuple(
    Principle(rule.name, rule.principle, rule.name) for rule in RULES.values()
)


def check_principles(principles: Sequence[Principle]) -> None:
    """Raise WorkbenchError where there is none, or a name comes twice."""
    names = [principle.name for principle in principles]
    if not names:
        raise WorkbenchError("principles is empty; at least one is needed")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise WorkbenchError(f"principle {twice!r} is given twice; each name once")


def pick(principles: Sequence[Principle], prompt: str, count: int, seed: int) -> Principle:
    """The principle for the answer number `count` to a prompt, drawn at random.

    The paper draws one per revision, too. Each principle draws a number that depends on its name,
    the prompt, `count` and the seed, and the largest wins: so one that is added or removed changes
    the draw of no two others.
    """
    return max(
        principles, key=lambda one: random.Random(f"{seed} {prompt} {count} {one.name}").random()
    )


def read_principles(path: str | Path) -> list[Principle]:
    """The principles of a JSON or JSONL file.

    Raises:
        WorkbenchError: no such file, a row that is no principle, or a name that comes twice.
    """
    principles = []
    for number, row in enumerate(read_json_rows(given_path(path)), start=1):
        where = f"{path}: row {number}"
        if not isinstance(row, dict) or not {"name", "text"} <= row.keys() <= set(FIELDS):
            raise WorkbenchError(f"{where} is no principle; accepted: name, text and maybe rule")
        try:
            principles.append(Principle(**row))
        except WorkbenchError as error:
            raise WorkbenchError(f"{where}: {error}") from None
    check_principles(principles)
    return principles


def write_principles(principles: Iterable[Principle], path: str | Path) -> None:
    """Write principles, one per line, so that `read_principles` gives them back."""
    lines = [json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in principles]
    atomic_write(given_path(path), lambda part: part.write_bytes("".join(lines).encode()))
