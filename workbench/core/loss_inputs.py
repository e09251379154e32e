"""What losses are computed from: summed log-probabilities of pairs, of labelled completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.core.batch import SequenceBatch


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
