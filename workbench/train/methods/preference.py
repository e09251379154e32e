"""DPO's family: pairs, and a loss that compares how far each side moved from the reference.

Losses without a reference compare the policy's own log-probabilities; none is loaded for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from workbench.core.batch import Pair, PreferenceBatch, SequenceBatch
from workbench.core.collation import collate
from workbench.core.logps import completion_logps
from workbench.core.loss_inputs import PairLogps
from workbench.core.metrics import pair_metrics
from workbench.data.pairs import SkippedRow, TextPair, encode_pairs, read_pairs
from workbench.data.tokenizer import Tokenizer
from workbench.train.method import Encoded, Method, Outcome, Reference, Settings, given


class PairMethod(Method[Pair]):
    """What methods that train on pairs have in common: how pairs become batches."""

    paired = True

    def read(self, source: str) -> tuple[list[TextPair], list[SkippedRow]]:
        file = read_pairs(source)
        return file.pairs, file.skipped

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
        compared = given(reference).logps(batch) if loss.needs_reference else None
        logps = PairLogps.from_sequences(batch, completion_logps(policy, batch), compared)
        values = loss(logps, **parameters)
        return Outcome(values, pair_metrics(logps, loss.rewards(logps, **parameters), values))


METHOD = Preference()
