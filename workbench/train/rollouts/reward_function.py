"""A reward: any function from prompts and completions to one number each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from workbench.errors import WorkbenchError

# (prompts, completions) -> one finite number each.
Reward = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


def scored(reward: Reward, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    """What the reward gives, checked.

    Raises:
        WorkbenchError: it raised, gave another number of values, or one that is not finite.
    """
    name = getattr(reward, "__name__", type(reward).__name__)
    try:
        given: Any = reward(prompts, completions)
    except WorkbenchError:
        raise
    except Exception as error:
        raise WorkbenchError(
            f"the reward {name!r} raised {type(error).__name__}: {error}"
        ) from error
    try:
        values = [float(value) for value in given]
    except (TypeError, ValueError) as error:
        raise WorkbenchError(
            f"the reward {name!r} returned {_short(given)}; accepted: a list of numbers, one for "
            "each completion"
        ) from error
    if len(values) != len(completions):
        raise WorkbenchError(
            f"the reward {name!r} returned {len(values)} values for {len(completions)} texts; "
            "accepted: one number each"
        )
    for value, prompt, completion in zip(values, prompts, completions, strict=True):
        if not math.isfinite(value):
            raise WorkbenchError(
                f"the reward {name!r} returned {value} for {_short(completion)} after "
                f"{_short(prompt)}; accepted: finite numbers"
            )
    return values


def require_signal(reward: Reward, scores: Sequence[float]) -> None:
    """Raise WorkbenchError where all completions of a first rollout have one score."""
    if len(scores) > 1 and min(scores) == max(scores):
        name = getattr(reward, "__name__", type(reward).__name__)
        raise WorkbenchError(
            f"the reward {name!r} gave {scores[0]:g} to all {len(scores)} completions of the first "
            "rollout: there is nothing to learn from"
        )


def _short(value: Any, most: int = 60) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= most else text[: most - 3] + "..."
