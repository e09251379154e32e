"""A reward: any function from prompts and completions to one number each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

from workbench.errors import WorkbenchError

# (prompts, completions) -> one finite number each.
Reward = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
LARGEST = 1e12  # of a score: squared, as losses do, it is still far from float32's largest number


def scored(reward: Reward, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    """What the reward gives, checked.

    Raises:
        WorkbenchError: it raised, gave another number of values, or one that is not finite.
    """
    name = getattr(reward, "__name__", type(reward).__name__)
    try:
        # Copies, because a reward that sorts or shortens its lists must not change the rollout.
        given: Any = reward(list(prompts), list(completions))
        given = list(given) if isinstance(given, Iterator) else given
    except WorkbenchError:
        raise
    except Exception as error:
        raise WorkbenchError(
            f"the reward {name!r} raised {type(error).__name__}: {_line(error)}"
        ) from error
    try:
        if isinstance(given, str | bytes | Mapping | Set):
            raise TypeError("no row of numbers")
        values = [float(value) for value in given]
    except (TypeError, ValueError, OverflowError) as error:
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
        if not abs(value) <= LARGEST:
            raise WorkbenchError(
                f"the reward {name!r} returned {value} for {_short(completion)} after "
                f"{_short(prompt)}; accepted: finite numbers, at most {LARGEST:g} in size"
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
    text = _line(repr(value))
    return text if len(text) <= most else text[: most - 3] + "..."


def _line(value: Any) -> str:
    return " ".join(str(value).split())
