"""Every preference loss, one short function each, in one registry.

Each takes `PairLogps` and gives one value a pair: never reduced, never logged. A new loss is one
decorated function here; the menus, the command line and the tests read it from `LOSSES`. They need
the names alone, so torch is not loaded here until a loss is computed.

On the direction of `beta`: at the optimum a higher beta stays closer to the reference. Within a
fixed budget of plain gradient steps the opposite shows first, because the gradient of the DPO loss
is `beta * sigmoid(-beta * margin)` and starts at beta / 2. Both statements are true. Optimisers
that divide by the gradient's size, as Adam does, take that factor out again.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.core.batch import PreferenceBatch


@dataclass(frozen=True)
class PairLogps:
    """Summed log-probabilities of pairs, each (pair,), natural logarithm.

    `reference_*` may be None for losses without a reference; lengths are numbers of scored tokens.
    """

    policy_chosen: Tensor
    policy_rejected: Tensor
    reference_chosen: Tensor | None = None
    reference_rejected: Tensor | None = None
    chosen_lengths: Tensor | None = None
    rejected_lengths: Tensor | None = None

    @classmethod
    def from_sequences(
        cls, batch: PreferenceBatch, policy: Tensor, reference: Tensor | None = None
    ) -> PairLogps:
        """From values a completion: the chosen at even places, the rejected at odd ones."""
        lengths = batch.lengths()
        return cls(
            policy[0::2],
            policy[1::2],
            None if reference is None else reference[0::2],
            None if reference is None else reference[1::2],
            lengths[0::2],
            lengths[1::2],
        )

    @property
    def chosen_logratios(self) -> Tensor:
        """Policy minus reference on the chosen completions."""
        return self.policy_chosen - self._given("reference_chosen")

    @property
    def rejected_logratios(self) -> Tensor:
        """Policy minus reference on the rejected completions."""
        return self.policy_rejected - self._given("reference_rejected")

    @property
    def margins(self) -> Tensor:
        """Chosen minus rejected log-ratio."""
        return self.chosen_logratios - self.rejected_logratios

    def per_token(self) -> PairLogps:
        """The same with every log-probability divided by its completion's length."""
        chosen, rejected = self._given("chosen_lengths"), self._given("rejected_lengths")
        return PairLogps(
            self.policy_chosen / chosen,
            self.policy_rejected / rejected,
            None if self.reference_chosen is None else self.reference_chosen / chosen,
            None if self.reference_rejected is None else self.reference_rejected / rejected,
            chosen,
            rejected,
        )

    def _given(self, name: str) -> Tensor:
        value = getattr(self, name)
        if value is None:
            raise WorkbenchError(f"{name} is missing; this loss needs it")
        return value


@dataclass(frozen=True)
class Loss:
    """A registered loss: callable, and the facts that menus, tables and tests need."""

    name: str
    function: Callable[..., Tensor]
    source: str
    needs_reference: bool = True

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return inspect.getdoc(self.function).splitlines()[0]  # type: ignore[union-attr]

    @property
    def defaults(self) -> dict[str, float | bool]:
        """Each parameter of the loss with its default."""
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    def __call__(self, logps: PairLogps, **parameters: float) -> Tensor:
        """One value a pair, (pair,)."""
        for name, value in parameters.items():
            if name not in self.defaults:
                accepted = ", ".join(self.defaults)
                raise WorkbenchError(f"{self.name} has no parameter {name!r}; accepted: {accepted}")
            check_parameter(name, value)
        return self.function(logps, **parameters)

    def pick(self, values: dict[str, float]) -> dict[str, float]:
        """Those of `values` that are parameters of this loss."""
        return {name: value for name, value in values.items() if name in self.defaults}


LOSSES: dict[str, Loss] = {}


def check_parameter(name: str, value: object) -> None:
    """Refuse a value that no loss can use.

    >>> check_parameter("beta", -1)
    Traceback (most recent call last):
    workbench.errors.WorkbenchError: beta=-1 is not accepted: a finite number above 0 is needed
    """
    if name not in ("beta", "label_smoothing"):
        return
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if name == "beta" and not (number and value > 0):  # type: ignore[operator]
        raise WorkbenchError(f"beta={value!r} is not accepted: a finite number above 0 is needed")
    if name == "label_smoothing" and not (number and 0 <= value < 0.5):  # type: ignore[operator]
        raise WorkbenchError(f"label_smoothing={value!r} is not accepted: at least 0, below 0.5")


def find_loss(name: object) -> Loss:
    """The loss of this name. Raises WorkbenchError, naming those that there are."""
    if not isinstance(name, str) or name not in LOSSES:
        raise WorkbenchError(f"loss={name!r} is unknown; accepted: {', '.join(LOSSES)}")
    return LOSSES[name]


def loss(source: str, needs_reference: bool = True) -> Callable[[Callable[..., Tensor]], Loss]:
    """Register a function under its own name."""

    def register(function: Callable[..., Tensor]) -> Loss:
        entry = Loss(function.__name__, function, source, needs_reference)
        LOSSES[entry.name] = entry
        return entry

    return register


def log_sigmoid(values: Tensor) -> Tensor:
    """log sigmoid(x) of each value, exact far from 0 too."""
    from torch.nn.functional import logsigmoid  # here, so that the names load no torch

    return logsigmoid(values)


@loss("Rafailov et al. 2023, eq. 7")
def dpo(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """-log sigmoid(beta * margin): the chosen should gain on the rejected."""
    return -log_sigmoid(beta * logps.margins)


@loss("Mitchell 2023, A note on DPO with noisy preferences, eq. 3")
def cdpo(logps: PairLogps, beta: float = 0.1, label_smoothing: float = 0.1) -> Tensor:
    """DPO that assumes a share of flipped labels, so the wanted margin is finite."""
    scaled = beta * logps.margins
    kept, flipped = -log_sigmoid(scaled), -log_sigmoid(-scaled)
    return (1 - label_smoothing) * kept + label_smoothing * flipped


@loss("Azar et al. 2023, eq. 17")
def ipo(logps: PairLogps, beta: float = 0.1, normalize: bool = False) -> Tensor:
    """(margin - 1 / (2 beta))^2: the margin has a target instead of a pull to infinity.

    On sums, as the equation is written; `normalize=True` takes log-probabilities a token, as TRL
    does, whose authors were told that the paper's results were made so.
    """
    margins = (logps.per_token() if normalize else logps).margins
    return (margins - 1 / (2 * beta)).square()


@loss("x-transformers' convention; compare Meng et al. 2024 (SimPO), eq. 4, for the length norm")
def dpo_norm(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """DPO on log-ratios a token: long completions weigh no more than short ones."""
    return -log_sigmoid(beta * logps.per_token().margins)


@loss("Zhao et al. 2023 (SLiC-HF), eq. 1, with DPO's margin")
def hinge(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """max(0, 1 - beta * margin): no pull once the reward margin reaches 1."""
    return (1 - beta * logps.margins).relu()
