"""`LOSSES`: what a loss brings with it besides its formula; `losses.py` fills it.

Reading it loads no torch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.core.loss_inputs import PairLogps
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Parameter:
    """What a person can set of a loss.

    Attributes:
        help: one line.
        low, high: the range of its slider, inclusive. Of a parameter in equal ratios any finite
            number above 0 is accepted, of another one what lies in the range.
        log: whether the slider moves in equal ratios.
    """

    help: str
    low: float | None = None
    high: float | None = None
    log: bool = False

    def check(self, name: str, value: object, default: object) -> None:
        """Raise WorkbenchError for a value that no loss can use."""
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise WorkbenchError(f"{name}={value!r} is not accepted: True or False")
            return
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):  # type: ignore[arg-type]
            inside = False
        elif self.log:
            inside = value > 0  # type: ignore[operator]
        else:
            inside = self.low <= value <= self.high  # type: ignore[operator]
        if not inside:
            needed = (
                "a finite number above 0 is needed"
                if self.log
                else f"{self.low:g} to {self.high:g}"
            )
            raise WorkbenchError(f"{name}={value!r} is not accepted: {needed}")


@dataclass(frozen=True)
class Loss:
    """A registered loss: callable, and the facts that menus, tables and tests need.

    Attributes:
        method: that trains by it, a file in `train/methods/`.
        parameters: by name; their defaults are those of the function's signature.
        needs_reference: whether it compares with a reference; without, none is loaded or scored.
        scores: (logps, **parameters) -> the `PairLogps` that rewards are read from, where that is
            not the argument itself.
    """

    name: str
    function: Callable[..., Tensor]
    source: str
    method: str = "preference"
    needs_reference: bool = True
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    scores: Callable[..., PairLogps] | None = None

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return inspect.getdoc(self.function).splitlines()[0]  # type: ignore[union-attr]

    @property
    def defaults(self) -> dict[str, Any]:
        """Each parameter of the loss with its default."""
        parameters = list(inspect.signature(self.function).parameters.values())
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    def __call__(self, *inputs: Any, **parameters: Any) -> Tensor:
        """One value per item, (item,)."""
        for name, value in parameters.items():
            if name not in self.parameters:
                accepted = ", ".join(self.parameters) or "none"
                raise WorkbenchError(f"{self.name} has no parameter {name!r}; accepted: {accepted}")
            self.parameters[name].check(name, value, self.defaults[name])
        return self.function(*inputs, **parameters)

    def pick(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """This loss's parameters: those of `values` that are not None, defaults otherwise."""
        given = {name: values.get(name) for name in self.defaults}
        return {n: self.defaults[n] if value is None else value for n, value in given.items()}

    def rewards(self, logps: PairLogps, **parameters: Any) -> tuple[Tensor, Tensor]:
        """(pair,) implicit rewards of chosen and rejected, without gradient.

        `beta` times the log-ratios that the loss compares; without a reference, times the
        log-probabilities.
        """
        logps = self.scores(logps, **parameters) if self.scores else logps
        sides = logps.policy_chosen.detach(), logps.policy_rejected.detach()
        if self.needs_reference:
            sides = logps.chosen_logratios.detach(), logps.rejected_logratios.detach()
        beta = parameters.get("beta", 1.0)
        return beta * sides[0], beta * sides[1]


LOSSES: dict[str, Loss] = {}


def all_parameters() -> dict[str, tuple[Parameter, Any]]:
    """Every parameter of any loss, with a default that shows its type. A name is one parameter."""
    found: dict[str, tuple[Parameter, Any]] = {}
    for one in LOSSES.values():
        for name, parameter in one.parameters.items():
            found.setdefault(name, (parameter, one.defaults[name]))
    return found


def check_parameter(name: str, value: object) -> None:
    """Refuse a value that no loss can use.

    >>> check_parameter("beta", -1)
    Traceback (most recent call last):
    workbench.errors.WorkbenchError: beta=-1 is not accepted: a finite number above 0 is needed
    """
    known = all_parameters()
    if name not in known:
        accepted = ", ".join(sorted(known))
        raise WorkbenchError(f"{name} is no parameter of a loss; accepted: {accepted}")
    parameter, default = known[name]
    parameter.check(name, value, default)


def find_loss(name: object, method: str | None = None) -> Loss:
    """The loss of this name. Raises WorkbenchError, naming those that there are (of a method)."""
    accepted = {n: one for n, one in LOSSES.items() if method in (None, one.method)}
    if not isinstance(name, str) or name not in accepted:
        of = f" for method {method}" if method and name in LOSSES else ""
        raise WorkbenchError(f"loss={name!r} is unknown{of}; accepted: {', '.join(accepted)}")
    return accepted[name]


def loss(
    source: str,
    method: str = "preference",
    needs_reference: bool = True,
    scores: Callable[..., PairLogps] | None = None,
    **parameters: Parameter,
) -> Callable[[Callable[..., Tensor]], Loss]:
    """Register a function under its own name; `parameters` describe those with a default."""

    def register(function: Callable[..., Tensor]) -> Loss:
        entry = Loss(
            function.__name__, function, source, method, needs_reference, parameters, scores
        )
        LOSSES[entry.name] = entry
        return entry

    return register
