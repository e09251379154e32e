"""What losses are computed from: summed log-probabilities of pairs, of labelled completions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.core.batch import SequenceBatch

LOGPS = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")


@dataclass(frozen=True)
class PairLogps:
    """Summed log-probabilities of pairs, each (pair,), natural logarithm.

    `reference_*` may be None for losses without a reference; lengths are numbers of scored tokens.
    Two modifiers need more: `beyond` holds the same sums over the tokens beyond the length of the
    shorter completion, `weights` (pair,) those of the pairs.
    """

    policy_chosen: Tensor
    policy_rejected: Tensor
    reference_chosen: Tensor | None = None
    reference_rejected: Tensor | None = None
    chosen_lengths: Tensor | None = None
    rejected_lengths: Tensor | None = None
    beyond: PairLogps | None = None
    weights: Tensor | None = None

    @classmethod
    def from_sequences(
        cls, batch: SequenceBatch, policy: Tensor, reference: Tensor | None = None
    ) -> PairLogps:
        """From one value per completion: the chosen at even positions, the rejected at odd ones."""
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
        return self.policy_chosen - self.given("reference_chosen")

    @property
    def rejected_logratios(self) -> Tensor:
        """Policy minus reference on the rejected completions."""
        return self.policy_rejected - self.given("reference_rejected")

    @property
    def margins(self) -> Tensor:
        """Chosen minus rejected log-ratio."""
        return self.chosen_logratios - self.rejected_logratios

    def per_token(self) -> PairLogps:
        """The same with every log-probability divided by its completion's length."""
        lengths = {side: self.given(f"{side}_lengths") for side in ("chosen", "rejected")}
        return self._map(lambda name, value: value / lengths[name.split("_")[1]])

    def minus(self, share: float, other: PairLogps) -> PairLogps:
        """The same with `share` of every log-probability of `other` taken away."""
        return self._map(lambda name, value: value - share * getattr(other, name))

    def with_part(self, where: Tensor, part: PairLogps) -> PairLogps:
        """The same with the log-probabilities of `part` at the pairs `where` (pair of part,)."""
        return self._map(lambda name, value: value.index_put((where,), getattr(part, name)))

    def _map(self, change: Callable[[str, Tensor], Tensor]) -> PairLogps:
        """The same with every log-probability changed by its name and value."""
        present = [name for name in LOGPS if getattr(self, name) is not None]
        changed: dict[str, Any] = {name: change(name, getattr(self, name)) for name in present}
        return replace(self, **changed)

    def given(self, name: str) -> Any:
        """An entry that may have been left out. Raises WorkbenchError where it was."""
        value = getattr(self, name)
        if value is None:
            raise WorkbenchError(f"{name} is missing; this loss needs it")
        return value


@dataclass(frozen=True)
class LabelledLogps:
    """Summed log-probabilities of labelled completions, natural logarithm.

    Attributes:
        policy, reference: (item,).
        labels: (item,) True where the completion is desirable.
        z: () the mean log-ratio of mismatched completions, at least 0, without gradient; all items
            of an optimiser step share it.
    """

    policy: Tensor
    reference: Tensor
    labels: Tensor
    z: Tensor

    @property
    def logratios(self) -> Tensor:
        """(item,) policy minus reference."""
        return self.policy - self.reference
