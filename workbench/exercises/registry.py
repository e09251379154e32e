"""What an exercise is, and the registry of all exercises."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workbench.exercises.random_inputs import Numbers

# Float64 tensors, plain numbers and rows of texts, in the order of the parameters.
Inputs = tuple[Any, ...]
Rows = list[tuple[str | bool, ...]]
Target = Callable[..., Tensor | Rows]
Draw = Callable[[Numbers], Iterator[Inputs]]


@dataclass(frozen=True)
class Exercise:
    """A function that a learner writes.

    Attributes:
        name: of the function.
        target: the right function, from core where core has it.
        draw: inputs to compare on, the easiest to read first.
        hint: shown from the second failure on; names the most common mistakes.
    """

    name: str
    target: Target
    draw: Draw
    hint: str

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(inspect.signature(self.target).parameters)

    def cases(self) -> Iterator[Inputs]:
        """The same inputs at every call, so that a learner sees the effect of a change."""
        return self.draw(Numbers(seed=0))


EXERCISES: dict[str, Exercise] = {}


def exercise(draw: Draw, hint: str) -> Callable[[Target], Exercise]:
    """Register a target under its own name."""

    def register(target: Target) -> Exercise:
        entry = Exercise(target.__name__, target, draw, hint)
        EXERCISES[entry.name] = entry
        return entry

    return register
