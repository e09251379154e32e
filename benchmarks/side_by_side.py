"""The coordinator: several contenders, alive at once, each working only in its turn.

In every round each contender does the same steps, in an order drawn anew, and ratios are taken
within a round: a machine that is slower for a minute is slower for all. The first round is thrown
away, because it warms up.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parents[1]
TAIL = 12  # lines of a dead contender's last words
# Set by run.py and the workbench for the workbench. A peer's users have none of it: their threads
# spin for milliseconds before they sleep, the fastest way on a machine that does nothing else, and
# none while they wait for their turn.
UNSET = {
    "OMP_WAIT_POLICY": None,
    "GOMP_SPINCOUNT": None,
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": None,
}


class ContenderError(Exception):
    """A contender died or answered nonsense; the text says which, and what it said last."""


@dataclass(frozen=True)
class Contender:
    """One side of a measurement.

    Attributes:
        name: as shown.
        program: what Python is to run, such as ("-m", "benchmarks.ours").
        setting: what the program is told at the start; JSON.
        words: the setting in words, for the table.
        environment: variables that its process has; None removes one.
        root: the checkout that its `benchmarks` and `workbench` are taken from.
        beside: whose seconds its ratio is taken of, by name; left out: those of the first one.
    """

    name: str
    program: tuple[str, ...]
    setting: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""
    environment: Mapping[str, str | None] = field(default_factory=lambda: UNSET)
    root: Path = ROOT
    beside: str = ""


@dataclass(frozen=True)
class Outcome:
    """What was measured of one contender: seconds of each round, peak memory, its own facts."""

    contender: Contender
    seconds: list[float]
    peak: int
    facts: dict[str, Any]


class Spread(NamedTuple):
    """Median and quartiles."""

    low: float
    middle: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*quantiles(values, n=4, method="inclusive"))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times as fast ours was, round by round, from the seconds of both."""
    return [other / own for own, other in zip(ours, theirs, strict=True)]


class Child:
    """A contender's process; a context manager that leaves nothing running behind."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        # A file, because a pipe could fill up; closed by __exit__.
        self._said = TemporaryFile("w+", errors="backslashreplace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, *contender.program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            cwd=contender.root,  # Python looks for a module (-m) there before anywhere else
            env=environment(contender.environment, contender.root),
        )

    def start(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Tell it its setting; returns the facts that it answers with once it is ready."""
        return self._ask("ready", do="start", setting={**self.contender.setting, **more})

    def steps(self, count: int) -> float:
        """Let it take steps; returns their seconds."""
        return self._ask("seconds", do="steps", count=count)

    def peak(self) -> int:
        """The most memory that it held so far, in bytes."""
        return self._ask("peak", do="peak")

    def _ask(self, wanted: str, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ContenderError(self._last_words())
        try:
            return json.loads(line)[wanted]
        except (ValueError, KeyError, TypeError) as error:
            raise ContenderError(f"{self.contender.name} answered {line.strip()!r}") from error

    def _last_words(self) -> str:
        code = self._process.wait()
        how = f"exit code {code}"
        if code < 0:
            how = signal.Signals(-code).name
            how += ", often for want of memory" if code == -signal.SIGKILL else ""
        self._said.seek(0)
        tail = self._said.read().splitlines()[-TAIL:]
        return "\n".join([f"{self.contender.name} died ({how}); its last words:", *tail])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                self._process.communicate(json.dumps({"do": "quit"}) + "\n", timeout=60)
            except subprocess.TimeoutExpired:
                self._process.kill()
        else:
            self._process.kill()
        self._process.communicate()
        self._said.close()


def environment(changes: Mapping[str, str | None], root: Path = ROOT) -> dict[str, str]:
    """This process's variables with some changed or removed; modules are looked for in `root`."""
    merged: dict[str, str | None] = {**os.environ, **changes}
    merged["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return {name: value for name, value in merged.items() if value is not None}


def measure(
    contenders: Sequence[Contender], rounds: int, steps: int, seed: int = 0
) -> list[Outcome]:
    """Measure all of them side by side.

    The first one's facts are told to the others as `first`, so that they can work on its batches.

    Args:
        contenders: at least one, each with a name of its own.
        rounds: that count; one more is made and thrown away.
        steps: of each contender in a round.
        seed: of the order within the rounds.

    Raises:
        ContenderError: one of them died.
    """
    total = (rounds + 1) * steps
    with ExitStack() as stack:
        children: list[Child] = []
        facts: list[dict[str, Any]] = []
        for contender in contenders:
            child = stack.enter_context(Child(contender))
            first = {"first": facts[0]} if facts else {}
            facts.append(child.start({"steps": total, **first}))
            children.append(child)
        seconds = interleave(children, rounds, steps, random.Random(seed))
        peaks = [child.peak() for child in children]
    rows = zip(contenders, seconds, peaks, facts, strict=True)
    return [Outcome(*row) for row in rows]


def interleave(
    children: Sequence[Child], rounds: int, steps: int, order: random.Random
) -> list[list[float]]:
    """Seconds of every round that counts, one list a child."""
    seconds: list[list[float]] = [[] for _ in children]
    for number in range(rounds + 1):
        for place in order.sample(range(len(children)), len(children)):
            found = children[place].steps(steps)
            if number:
                seconds[place].append(found)
    return seconds
