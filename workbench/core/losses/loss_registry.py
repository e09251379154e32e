"""`LOSSES`: what a loss brings with it besides its formula; the files beside this one fill it.

Reading it loads no torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from workbench.core.losses.inputs import PairLogps
from workbench.core.losses.modifiers import MODIFIERS
from workbench.core.losses.parameter import Parameter
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from torch import Tensor


@cache
def _parameters(function: Callable[..., Tensor]) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(function).parameters.values())


@dataclass(frozen=True)
class Loss:
    """A registered loss: callable, and the facts that menus, tables and tests need.

    Attributes:
        method: that trains by it, a file in `train/methods/`.
        parameters: by name; their defaults are those of the function's signature.
        needs_reference: whether it compares with a reference; without, none is loaded or scored.
        needs_lengths: whether it uses the numbers of scored tokens.
        needs_step: whether a value depends on the other items of the optimiser step.
        rollouts: whether it is computed from completions that the policy writes while it trains.
        scores: (logps, **parameters) -> the `PairLogps` that rewards are read from, where that is
            not the argument itself.
        rewarded: the loss whose rewards are shown in place of its own: a sum's first term.
        modifiers: names in `MODIFIERS` that are defined for it.
        why_not: modifier -> why it is not defined, where the reason is this loss's own.
    """

    name: str
    function: Callable[..., Tensor]
    source: str
    method: str = "preference"
    needs_reference: bool = True
    needs_lengths: bool = False
    needs_step: bool = False
    rollouts: bool = False
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    scores: Callable[..., PairLogps] | None = None
    rewarded: Loss | None = None
    modifiers: tuple[str, ...] = ()
    why_not: Mapping[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return inspect.getdoc(self.function).splitlines()[0]  # type: ignore[union-attr]

    @property
    def defaults(self) -> dict[str, Any]:
        """Each parameter of the loss with its default."""
        parameters = _parameters(self.function)
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    @property
    def strength(self) -> str | None:
        """The parameter that sets how far it moves the policy: its first in equal ratios."""
        return next((name for name, one in self.parameters.items() if one.log), None)

    @property
    def strengths(self) -> tuple[float, ...]:
        """A small grid of it: a quarter of the default, the default, four times it."""
        if self.strength is None:
            return ()
        default = self.defaults[self.strength]
        return default / 4, default, 4 * default

    def check(self, **values: Any) -> None:
        """Raise WorkbenchError for a parameter or modifier that this loss can't take."""
        for name, value in values.items():
            if name in self.parameters:
                self.parameters[name].check(name, value, self.defaults[name])
            elif name in MODIFIERS:
                MODIFIERS[name].check(name, value)
                if name not in self.modifiers and value != MODIFIERS[name].neutral:
                    why = self.why_not.get(name) or MODIFIERS[name].needs
                    raise WorkbenchError(f"{name}={value!r} is not defined for {self.name}: {why}")
            else:
                accepted = ", ".join([*self.parameters, *self.modifiers]) or "none"
                raise WorkbenchError(f"{self.name} has no parameter {name!r}; accepted: {accepted}")

    def __call__(self, *inputs: Any, **parameters: Any) -> Tensor:
        """One value per item, (item,)."""
        self.check(**parameters)
        modifiers = {name: parameters.pop(name) for name in MODIFIERS if name in parameters}
        if not modifiers:
            return self.function(*inputs, **parameters)
        (logps,) = inputs
        values = self.function(_changed(logps, modifiers), **parameters)
        return values * logps.given("weights") if modifiers.get("wpo") else values

    def pick(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """This loss's parameters: those of `values` that are not None, defaults otherwise.

        Modifiers are among them where `values` has them and they change something.
        """
        given = {name: values.get(name) for name in self.defaults}
        own = {n: self.defaults[n] if value is None else value for n, value in given.items()}
        modifiers = {name: values.get(name) for name in self.modifiers}
        changing = {
            name: value
            for name, value in modifiers.items()
            if value is not None and value != MODIFIERS[name].neutral
        }
        return own | changing

    def rewards(self, logps: PairLogps, **parameters: Any) -> tuple[Tensor, Tensor]:
        """(pair,) implicit rewards of chosen and rejected, without gradient.

        `beta` times the log-ratios that the loss compares; without a reference, times the
        log-probabilities.
        """
        if self.rewarded is not None:
            known = {*self.rewarded.parameters, *MODIFIERS}
            own = {name: value for name, value in parameters.items() if name in known}
            return self.rewarded.rewards(logps, **own)
        logps = _changed(logps, parameters)
        logps = self.scores(logps, **parameters) if self.scores else logps
        sides = logps.policy_chosen.detach(), logps.policy_rejected.detach()
        if self.needs_reference:
            sides = logps.chosen_logratios.detach(), logps.rejected_logratios.detach()
        beta = parameters.get("beta", 1.0)
        return beta * sides[0], beta * sides[1]


def _changed(logps: PairLogps, parameters: Mapping[str, Any]) -> PairLogps:
    """What the loss reads, once the modifiers among `parameters` have been applied."""
    for name, modifier in MODIFIERS.items():
        if name in parameters and parameters[name] != modifier.neutral and modifier.change:
            logps = modifier.change(logps, parameters)
    return logps


LOSSES: dict[str, Loss] = {}


def all_parameters() -> dict[str, tuple[Parameter, Any]]:
    """Every parameter of any loss, with a default that shows its type. A name is one parameter."""
    found: dict[str, tuple[Parameter, Any]] = {}
    for one in LOSSES.values():
        for name, parameter in one.parameters.items():
            found.setdefault(name, (parameter, one.defaults[name]))
    return found | {name: (one, one.neutral) for name, one in MODIFIERS.items()}


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


def loss(
    source: str,
    method: str = "preference",
    needs_reference: bool = True,
    scores: Callable[..., PairLogps] | None = None,
    *,
    needs_lengths: bool = False,
    needs_step: bool = False,
    rollouts: bool = False,
    modifiers: tuple[str, ...] = (),
    why_not: Mapping[str, str] | None = None,
    **parameters: Parameter,
) -> Callable[[Callable[..., Tensor]], Loss]:
    """Register a function under its own name; `parameters` describe those with a default."""

    def register(function: Callable[..., Tensor]) -> Loss:
        entry = Loss(
            function.__name__, function, source, method, needs_reference, needs_lengths, needs_step,
            rollouts, parameters, scores, None, modifiers, why_not or {},
        )  # fmt: skip
        LOSSES[entry.name] = entry
        return entry

    return register
