"""What an exercise is, and the registry of all exercises."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workbench.exercises.far_inputs import Far
from workbench.exercises.random_inputs import Draw, Numbers

# Float64 tensors, plain numbers and rows of texts, in the order of the parameters.
Inputs = tuple[Any, ...]
Rows = list[tuple[str | bool, ...]]
Target = Callable[..., Tensor | Rows]


@dataclass(frozen=True)
class Exercise:
    """A function that a learner writes.

    Attributes:
        name: of the function.
        target: the right function, from core where core has it.
        draw: inputs to compare on, the easiest to read first.
        hint: shown from the second failure on; names the most common mistakes.
        far: inputs in float32 and far from 0, tried last; None where nothing can overflow.
    """

    name: str
    target: Target
    draw: Draw
    hint: str
    far: Far | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(inspect.signature(self.target).parameters)

    def cases(self) -> Iterator[Inputs]:
        """The same inputs at every call, so that a learner sees the effect of a change."""
        return self.draw(Numbers(seed=0))


EXERCISES: dict[str, Exercise] = {}


def exercise(draw: Draw, hint: str, far: Far | None = None) -> Callable[[Target], Exercise]:
    """Register a target under its own name."""

    def register(target: Target) -> Exercise:
        entry = Exercise(target.__name__, target, draw, hint, far)
        EXERCISES[entry.name] = entry
        return entry

    return register
