"""The coordinator: who is asked when, what is counted, and what a person hears when one dies."""

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.side_by_side import (
    Child,
    Contender,
    ContenderError,
    interleave,
    measure,
    ratios,
    spread,
)

FAKE = (str(Path(__file__).with_name("fake_contender.py")),)


def fake(name: str, seconds: float = 0.0, **setting: Any) -> Contender:
    return Contender(name, FAKE, {"seconds": seconds, **setting})


class FakeChild:
    """Stands for a child: answers with the next of its seconds, and notes that it was asked."""

    def __init__(self, name: str, seconds: list[float], asked: list[str]) -> None:
        self.name, self.seconds, self.asked = name, iter(seconds), asked

    def steps(self, count: int) -> float:
        self.asked.append(f"{self.name} {count}")
        return next(self.seconds)


def test_first_round_warms_up_and_the_others_count_in_order() -> None:
    asked: list[str] = []
    children: list[Any] = [
        FakeChild("a", [9, 1, 2, 3], asked),
        FakeChild("b", [9, 2, 6, 3], asked),
    ]
    found = interleave(children, rounds=3, steps=5, order=random.Random(0))
    assert found == [[1, 2, 3], [2, 6, 3]]


def test_in_every_round_each_is_asked_once_in_an_order_that_changes() -> None:
    asked: list[str] = []
    children: list[Any] = [FakeChild(name, [1.0] * 9, asked) for name in "abc"]
    interleave(children, rounds=8, steps=2, order=random.Random(0))
    rounds = [tuple(asked[i : i + 3]) for i in range(0, len(asked), 3)]
    assert len(rounds) == 9
    assert {tuple(sorted(one)) for one in rounds} == {("a 2", "b 2", "c 2")}
    assert len(set(rounds)) > 1


def test_ratio_is_taken_within_a_round() -> None:
    # The machine is half as fast in the second round; ours is 3 times as fast in both.
    assert ratios(ours=[1.0, 2.0], theirs=[3.0, 6.0]) == [3.0, 3.0]


def test_quartiles() -> None:
    assert spread([4.0]) == (4.0, 4.0, 4.0)
    # Of 1, 2, 3, 4, 5 the second, third and fourth.
    assert spread([5.0, 1.0, 4.0, 2.0, 3.0]) == (2.0, 3.0, 4.0)


def test_slow_and_fast_process_side_by_side() -> None:
    """Stray prints of the fakes would break the protocol if they reached it."""
    fast, slow = measure([fake("fast", 0.001), fake("slow", 0.03)], rounds=2, steps=2)
    assert len(fast.seconds) == len(slow.seconds) == 2
    assert min(slow.seconds) >= 0.06  # two steps of 0.03 s
    assert min(ratios(fast.seconds, slow.seconds)) > 1
    assert fast.peak > 1_000_000


def test_all_are_told_the_steps_and_the_others_what_the_first_found() -> None:
    one, two = measure([fake("one"), fake("two")], rounds=3, steps=2)
    assert one.facts["told"] == {"seconds": 0.0, "steps": 8}  # one round more, of two steps
    assert two.facts["told"]["first"] == one.facts


@pytest.mark.parametrize("step", [0, 3])
def test_one_that_dies_is_named_with_its_last_words(step: int) -> None:
    with pytest.raises(ContenderError) as error:
        measure([fake("sound"), fake("sick", dies_at=step)], rounds=2, steps=2)
    first, *rest = str(error.value).splitlines()
    assert first == "sick died (exit code 1); its last words:"
    assert rest[-1] == "the cheese is out"


def test_one_that_dies_before_it_is_ready_is_named_too() -> None:
    with pytest.raises(ContenderError, match="broken died") as error:
        measure([Contender("broken", ("-c", "import nothing_of_that_name"))], rounds=1, steps=1)
    assert "ModuleNotFoundError" in str(error.value)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_one_that_is_killed_says_by_what() -> None:
    program = ("-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(ContenderError, match=r"large died \(SIGKILL, often for want of memory\)"):
        measure([Contender("large", program)], rounds=1, steps=1)


def test_answer_that_is_none_is_quoted() -> None:
    with (
        pytest.raises(ContenderError, match="odd answered 'hello'"),
        Child(Contender("odd", ("-c", "print('hello', flush=True); input()"))) as child,
    ):
        child.start({})


def test_variables_are_set_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    program = (
        "import os; from benchmarks.contender import serve; "
        "serve(lambda setting, turns: turns.ready(found=os.environ.get('OMP_WAIT_POLICY')))"
    )
    for changes, expected in (({"OMP_WAIT_POLICY": None}, None), ({}, "PASSIVE")):
        with Child(Contender("shy", ("-c", program), environment=changes)) as child:
            assert child.start({}) == {"found": expected}


def test_nothing_is_left_running() -> None:
    with Child(fake("idle")) as child:
        child.start({"steps": 1})
        process = child._process
    assert process.returncode == 0
    interrupted = Child(fake("interrupted"))
    with pytest.raises(KeyboardInterrupt):
        interrupt(interrupted)
    assert interrupted._process.returncode != 0


def interrupt(child: Child) -> None:
    with child:
        raise KeyboardInterrupt
