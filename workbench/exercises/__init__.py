"""Checks of a learner's functions against the workbench's own.

    from workbench.exercises import check

    check(optimal_policy)  # finds the exercise by the function's name

`steps.py` holds the exercises, one decorated function each.
"""

from workbench.exercises import steps as _steps  # noqa: F401  registers what it holds
from workbench.exercises.checking import check
from workbench.exercises.registry import EXERCISES, Exercise
from workbench.exercises.verdict import Verdict

__all__ = ["EXERCISES", "Exercise", "Verdict", "check"]
