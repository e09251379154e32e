"""DPO's family: pairs, and a loss that compares how far each side moved from the reference.

Losses without a reference compare the policy's own log-probabilities; none is loaded for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.core.batch import Pair, PreferenceBatch, SequenceBatch
from workbench.core.collation import collate
from workbench.core.logps import ScoredLogps
from workbench.core.losses import PairLogps
from workbench.core.losses.inputs import LOGPS
from workbench.core.metrics import pair_metrics
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source
from workbench.data.pairs import ReadRows, TextPair, encode_pairs, read_pairs
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.train import distributed
from workbench.train.method import Encoded, Method, Outcome, Reference, Settings, given, shorter


class PairMethod(Method[Pair]):
    """What methods that train on pairs have in common: how pairs become batches."""

    paired = True

    def read(self, source: Source, reading: Reading | str | None = None) -> ReadRows:
        file = read_pairs(source, reading)
        return ReadRows(file.pairs, file.skipped, file.layout)

    def from_pairs(self, pairs: Sequence[TextPair]) -> list[TextPair]:
        return list(pairs)

    def encode(
        self, texts: Sequence[TextPair], tokenizer: Tokenizer, max_length: int
    ) -> Encoded[Pair]:
        found = encode_pairs(texts, tokenizer, max_length)
        return Encoded(found.pairs, found.texts, found.skipped, found.truncated)

    def size(self, item: Pair) -> int:
        return len(item.prompt) + len(item.chosen) + len(item.rejected)

    def collate(
        self, items: Sequence[Pair], pad_id: int, layout: str, index: Sequence[int]
    ) -> PreferenceBatch:
        return collate(items, pad_id, layout, index)


class Preference(PairMethod):
    """The losses of `LOSSES` on pairs."""

    name = "preference"

    def statistics(
        self,
        policy: nn.Module,
        batches: Sequence[SequenceBatch],
        settings: Settings,
        reference: Reference | None,
    ) -> Step | None:
        """All pairs of a step, where a value depends on other pairs than those of its batch.

        They cost one more forward pass, without gradient.
        """
        needed = self.loss(settings).needs_step
        if not needed or (len(batches) == 1 and distributed.world_size() == 1):
            return None
        with torch.no_grad():
            found = [self._logps(policy, batch, settings, reference) for batch in batches]
        return Step.of(batches, found)

    def losses(
        self,
        policy: nn.Module,
        batch: SequenceBatch,
        settings: Settings,
        reference: Reference | None = None,
        statistics: Any = None,
    ) -> Outcome:
        loss = self.loss(settings)
        parameters = loss.pick(settings)
        logps = self._logps(policy, batch, settings, reference)
        if statistics is None:
            values = loss(logps, **parameters)
        else:
            values = statistics.values(batch, logps, lambda pairs: loss(pairs, **parameters))
        return Outcome(values, pair_metrics(logps, loss.rewards(logps, **parameters), values))

    def _logps(
        self,
        policy: nn.Module,
        batch: SequenceBatch,
        settings: Settings,
        reference: Reference | None,
    ) -> PairLogps:
        """What the loss and its modifiers read, by one forward pass."""
        loss = self.loss(settings)
        parameters = loss.pick(settings)
        compared = given(reference) if loss.needs_reference else None
        scored, count = policy(batch), batch.sequences
        logps = PairLogps.from_sequences(
            batch, scored.sums(count), None if compared is None else compared.logps(batch)
        )
        if "ld_alpha" in parameters:
            beyond = scored.sums(count, shorter(batch)), given(compared).beyond(batch)
            logps = replace(logps, beyond=PairLogps.from_sequences(batch, *beyond))
        if "wpo" in parameters:
            logps = replace(logps, weights=_wpo_weights(policy, batch, scored))
        return logps


@torch.no_grad()
def _wpo_weights(policy: nn.Module, batch: SequenceBatch, scored: ScoredLogps) -> Tensor:
    """(pair,) how likely both completions are to the policy, by one more forward pass.

    The product over both of exp of the mean over tokens of log p - log sum_v p_v^2, which is 1 for
    a policy that draws every token as the completion has it (Zhou et al. 2024, eq. 2).
    """
    expected = policy(batch, collision=True)
    aligned = ScoredLogps(scored.values - expected.values, scored.owners)
    means = aligned.sums(batch.sequences) / batch.lengths()
    return means.view(-1, 2).sum(1).exp()


@dataclass(frozen=True)
class Step:
    """The pairs of an optimiser step, without gradient, and their indices in the data set."""

    logps: PairLogps
    index: Tensor

    @classmethod
    def of(cls, batches: Sequence[SequenceBatch], found: Sequence[PairLogps]) -> Step:
        """Put together what each batch gave, over all processes."""
        if any(batch.index is None for batch in batches):
            raise WorkbenchError("a loss over the whole step needs batches with an `index`")
        names = [*LOGPS, "chosen_lengths", "rejected_lengths"]
        present = [name for name in names if getattr(found[0], name) is not None]
        parts = [
            batch.counted({"index": batch.index, **{n: getattr(part, n) for n in present}})  # type: ignore[dict-item]
            for batch, part in zip(batches, found, strict=True)
        ]
        merged = distributed.gather(
            {name: torch.cat([part[name] for part in parts]) for name in ("index", *present)}
        )
        index = merged.pop("index")
        return cls(replace(found[0], **dict[str, Any](merged)), index)

    def values(
        self, batch: SequenceBatch, own: PairLogps, loss: Callable[[PairLogps], Tensor]
    ) -> Tensor:
        """The loss (pair,) of the batch's own pairs among all those of the step.

        Their sum has the gradient of the *whole* step's sum by the own log-probabilities, because
        the values of other pairs depend on them too.
        """
        assert batch.index is not None
        where = (batch.index[:, None] == self.index).int().argmax(1)
        whole = self.logps.with_part(where, own)
        values = loss(whole)
        total = values.sum()
        return values[where].detach() + (total - total.detach()) / len(where)


METHOD = Preference()
