"""What is measured of completions when they were written: log-probabilities and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from workbench.core.batch import SequenceBatch
from workbench.core.collation import collate_sequences
from workbench.core.logps import ScoredLogps
from workbench.core.policy import Policy
from workbench.core.rollouts import Sequences, table_of
from workbench.train import distributed
from workbench.train.config import TrainConfig
from workbench.train.precision import computing
from workbench.train.reference.live import LiveReference
from workbench.train.rollouts.rollout_method import RolloutMethod

Scores = Callable[[SequenceBatch], tuple[ScoredLogps, Tensor | None]]


@torch.no_grad()
def measured(
    sequences: Sequences,
    policy: Policy,
    reference: LiveReference,
    method: RolloutMethod,
    config: TrainConfig,
    pad_id: int,
) -> dict[str, Any]:
    """`policy_logps`, `reference_logps` and `values` of a `Rollout`, (sequence, token) each.

    Several processes measure a share of the batches each.
    """
    size = config.batch_size or 1
    longest = max(len(completion) for _, completion in sequences)
    batches = [sequences[i : i + size] for i in range(0, len(sequences), size)]

    def tables(score: Scores) -> tuple[Tensor, Tensor | None]:
        def measure(own: list[int]) -> list[tuple[Tensor, Tensor | None]]:
            return [one(batches[number], score) for number in own]

        logps, values = zip(*distributed.divided(range(len(batches)), measure), strict=True)
        together = torch.cat(logps).to(config.device)
        return together, None if values[0] is None else torch.cat(values).to(config.device)

    def one(chosen: Sequences, score: Scores) -> tuple[Tensor, Tensor | None]:
        batch = collate_sequences(chosen, pad_id, config.layout or "stacked").to(config.device)
        found, values = score(batch)
        shape = len(chosen), longest
        table = None if values is None else table_of(found, values, shape).cpu()
        return table_of(found, found.values, shape).cpu(), table

    def by_policy(batch: SequenceBatch) -> tuple[ScoredLogps, Tensor | None]:
        with computing(policy, config.device, config.precision):
            return method.scored(policy, batch)

    def by_reference(batch: SequenceBatch) -> tuple[ScoredLogps, Tensor | None]:
        with computing(reference.model, config.device, config.precision):
            return reference.model(batch), None

    ours, values = tables(by_policy)
    with reference.active():  # with adapters, policy and reference are one module
        theirs, _ = tables(by_reference)
    return {"policy_logps": ours, "reference_logps": theirs, "values": values}
