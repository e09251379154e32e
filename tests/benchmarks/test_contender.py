"""The contender's side of the protocol, on texts instead of pipes."""

import json
from io import StringIO
from typing import Any

import pytest

from benchmarks.contender import Turns


def turns(*orders: dict[str, Any]) -> tuple[Turns, StringIO]:
    answers = StringIO()
    lines = "".join(json.dumps(order) + "\n" for order in orders)
    return Turns(StringIO(lines), answers), answers


def test_reports_after_as_many_steps_as_wanted() -> None:
    waiting, answers = turns({"do": "steps", "count": 3}, {"do": "steps", "count": 1})
    waiting.ready(precision="bf16")
    for _ in range(2):
        waiting.step_done()
    assert [json.loads(line) for line in answers.getvalue().splitlines()] == [
        {"ready": {"precision": "bf16"}}
    ]
    waiting.step_done()
    assert list(json.loads(answers.getvalue().splitlines()[-1])) == ["seconds"]


def test_tells_its_memory_between_steps() -> None:
    waiting, answers = turns({"do": "peak"}, {"do": "steps", "count": 1})
    waiting.ready()
    assert json.loads(answers.getvalue().splitlines()[-1])["peak"] > 1_000_000


@pytest.mark.parametrize("orders", [[{"do": "quit"}], []])
def test_ends_when_told_to_or_when_nobody_is_left(orders: list[dict[str, Any]]) -> None:
    waiting, _ = turns(*orders)
    with pytest.raises(SystemExit) as stopped:
        waiting.ready()
    assert stopped.value.code == 0
