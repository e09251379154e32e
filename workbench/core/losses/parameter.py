"""What a person can set of a loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.errors import WorkbenchError


def is_finite(value: object) -> bool:
    """Whether it is a number, and one that a float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # of a whole number with more than 308 digits
        return False


@dataclass(frozen=True)
class Parameter:
    """One setting of a loss: a number, a switch, or one of some names.

    Attributes:
        help: one line.
        low, high: the range of its slider, inclusive. Of a parameter in equal ratios any finite
            number above 0 is accepted, of another one what lies in the range.
        log: whether the slider moves in equal ratios.
        choices: the names that are accepted.
    """

    help: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: object, default: object) -> None:
        """Raise WorkbenchError for a value that no loss can use."""
        needed = self._needed(value, default)
        if needed:
            raise WorkbenchError(f"{name}={value!r} is not accepted: {needed}")

    def _needed(self, value: object, default: object) -> str | None:
        """What is accepted instead of `value`; None where it is fine."""
        if self.choices:
            return None if value in self.choices else ", ".join(self.choices)
        if isinstance(default, bool):
            return None if isinstance(value, bool) else "True or False"
        finite = is_finite(value)
        if self.log:
            fits = finite and value > 0  # type: ignore[operator]
            return None if fits else "a finite number above 0 is needed"
        fits = finite and self.low <= value <= self.high  # type: ignore[operator]
        return None if fits else f"{self.low:g} to {self.high:g}"
