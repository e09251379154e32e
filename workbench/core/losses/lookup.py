"""A name -> a loss: registered, or a weighted sum that the name spells: `0.8*dpo+0.2*nll`."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from workbench.core.losses.inputs import PairLogps
from workbench.core.losses.loss_registry import LOSSES, Loss
from workbench.core.losses.parameter import Parameter
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from torch import Tensor


def find_loss(name: object, method: str | None = None) -> Loss:
    """The loss of this name, or the weighted sum that it spells.

    >>> find_loss("0.8*dpo + 0.2*nll").defaults
    {'beta': 0.1}

    Raises:
        WorkbenchError: naming those that there are (of a method).
    """
    accepted = {n: one for n, one in LOSSES.items() if method in (None, one.method)}
    if isinstance(name, str) and name in accepted:
        return accepted[name]
    if isinstance(name, str) and ("*" in name or "+" in name) and method in (None, "preference"):
        return weighted_sum(name)
    of = f" for method {method}" if method and name in LOSSES else ""
    sums = ", or a weighted sum such as 0.8*dpo+0.2*nll" if "dpo" in accepted else ""
    raise WorkbenchError(f"loss={name!r} is unknown{of}; accepted: {', '.join(accepted)}{sums}")


@cache
def weighted_sum(name: str) -> Loss:
    """The loss that `name` spells. A parameter of one name is shared by all terms.

    The rewards are those of its first term. A modifier is defined where it is for every term.

    Raises:
        WorkbenchError: for a term that is no loss on pairs, or a weight that is not above 0.
    """
    terms = [_term(part, name) for part in name.split("+")]
    parts = [part for _, part in terms]
    first = parts[0]
    if len({part.name for part in parts}) < len(parts):
        raise WorkbenchError(f"loss={name!r} names a term twice")
    defaults = {k: v for part in reversed(parts) for k, v in part.defaults.items()}

    def value(logps: PairLogps, **parameters: Any) -> Tensor:
        filled = defaults | parameters
        values = [weight * part(logps, **_own(part, filled)) for weight, part in terms]
        return sum(values[1:], values[0])

    value.__signature__ = _signature(defaults)  # type: ignore[attr-defined]
    value.__doc__ = "The sum of " + ", ".join(f"{w:g} * {part.name}" for w, part in terms) + "."
    return Loss(
        name,
        value,
        "; ".join(dict.fromkeys(part.source for part in parts)),
        needs_reference=any(part.needs_reference for part in parts),
        needs_lengths=any(part.needs_lengths for part in parts),
        needs_step=any(part.needs_step for part in parts),
        parameters={name: _shared(name, parts) for name in defaults},
        rewarded=first,
        modifiers=tuple(n for n in first.modifiers if all(n in part.modifiers for part in parts)),
        why_not={k: f"of {part.name}, {v}" for part in parts for k, v in part.why_not.items()},
    )


def _signature(defaults: dict[str, Any]) -> inspect.Signature:
    """That of a function with these parameters, from which `Loss` reads the defaults."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature([inspect.Parameter(n, kind, default=v) for n, v in defaults.items()])


def _shared(name: str, parts: list[Loss]) -> Parameter:
    """The parameter of this name, in the range that all terms accept."""
    first, *others = [part.parameters[name] for part in parts if name in part.parameters]
    if first.low is None or first.high is None or first.log:
        return first
    low = max([first.low, *(one.low for one in others if one.low is not None)])
    high = min([first.high, *(one.high for one in others if one.high is not None)])
    return replace(first, low=low, high=high)


def _own(part: Loss, parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name in part.parameters}


def _term(text: str, whole: str) -> tuple[float, Loss]:
    """`0.8*dpo` or `dpo` as weight and loss."""
    weight, _, name = text.strip().rpartition("*")
    try:
        number = float(weight) if weight else 1.0
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise WorkbenchError(f"loss={whole!r}: weight {weight!r} is not accepted: a number above 0")
    if name.strip() not in LOSSES:
        raise WorkbenchError(f"loss={whole!r}: {name.strip()!r} is unknown")
    return number, find_loss(name.strip(), "preference")
