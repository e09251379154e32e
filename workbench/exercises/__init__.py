"""Checks of a learner's functions against the workbench's own.

    from workbench.exercises import check

    check(optimal_policy)  # finds the exercise by the function's name

steps          the exercises, one decorated function each; ppo_steps: those on PPO
text_steps     those on texts
registry       what an exercise is, and the registry of all exercises
random_inputs  seeded inputs to compare on; far_inputs: in float32 and far from 0
checking       `check`: run a function and compare it with its target
verdict        the result of a check, as text and HTML
"""

from workbench.exercises import steps as _steps  # noqa: F401  registers the exercises

# isort: split
from workbench.exercises import ppo_steps as _ppo_steps  # noqa: F401
from workbench.exercises import text_steps as _text_steps  # noqa: F401
from workbench.exercises.checking import check
from workbench.exercises.registry import EXERCISES, Exercise
from workbench.exercises.verdict import Verdict

__all__ = ["EXERCISES", "Exercise", "Verdict", "check"]
