"""What an exercise is, and the registry of all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workbench.exercises.random_inputs import Numbers

Inputs = tuple[Any, ...]  # float64 tensors and plain numbers, in the order of the parameters
Draw = Callable[[Numbers], Iterator[Inputs]]


@dataclass(frozen=True)
class Exercise:
    """A function that a learner writes.

    Attributes:
        name: of the function.
        target: what it should compute, taken from core where core has it.
        draw: inputs to try it on, the easiest to read first.
        hint: shown after two failures; points at the mistakes that are made most.
    """

    name: str
    target: Callable[..., Tensor]
    draw: Draw
    hint: str

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(inspect.signature(self.target).parameters)

    def cases(self) -> Iterator[Inputs]:
        """The same inputs at every call, so that a learner sees whether a change has helped."""
        return self.draw(Numbers(seed=0))


EXERCISES: dict[str, Exercise] = {}


def exercise(draw: Draw, hint: str) -> Callable[[Callable[..., Tensor]], Exercise]:
    """Register a target under its own name."""

    def register(target: Callable[..., Tensor]) -> Exercise:
        entry = Exercise(target.__name__, target, draw, hint)
        EXERCISES[entry.name] = entry
        return entry

    return register
