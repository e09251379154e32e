"""KTO: completions labelled desirable or not, each compared with a typical one (Ethayarajh 2024).

How far the policy has moved on a typical text is `z`, the mean log-ratio of mismatched prompts and
completions, at least 0. It is taken over the whole optimiser step, so that neither the number of
forward passes nor that of processes changes the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.core.batch import Completion, LabelledBatch, SequenceBatch
from workbench.core.collation import collate_labelled
from workbench.core.logps import completion_logps
from workbench.core.losses import LabelledLogps
from workbench.core.metrics import label_metrics
from workbench.data.completions import TextCompletion, encode_completions, read_completions
from workbench.data.large.lazy_items import LazyItems
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source
from workbench.data.pairs import ReadRows, TextPair
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.train import distributed
from workbench.train.method import Encoded, Method, Outcome, Reference, Settings, given

if TYPE_CHECKING:
    from workbench.train.config import TrainConfig


class KTO(Method[Completion]):
    """One row is a prompt, a completion and a label; a pair makes two rows."""

    name = "kto"
    noun = "labelled completions"

    def read(self, source: Source, reading: Reading | str | None = None) -> ReadRows:
        return read_completions(source, reading=reading)

    def from_pairs(self, pairs: Sequence[TextPair]) -> list[TextCompletion]:
        return [TextCompletion.of(pair, label) for pair in pairs for label in (True, False)]

    def encode(
        self, texts: Sequence[TextCompletion], tokenizer: Tokenizer, max_length: int
    ) -> Encoded[Completion]:
        return Encoded(*encode_completions(texts, tokenizer, max_length))

    def complete(
        self, items: Sequence[Completion], others: Sequence[Completion], max_length: int
    ) -> Sequence[Completion]:
        """Each item with the completion of the next item that has another prompt.

        The order is that of the data, so the reference's values stay the same in every epoch.
        """
        if isinstance(items, LazyItems):
            return items.mismatched(others, max_length)
        found, pool = [], [*items, *others]
        for number, item in enumerate(items):
            after = (pool[(number + step) % len(pool)] for step in range(1, len(pool)))
            other = next((one for one in after if one.prompt != item.prompt), None)
            if other is None:
                raise WorkbenchError(
                    "kto compares with completions of other prompts; all rows have one prompt"
                )
            most = max_length - len(item.prompt)
            scored = other.scored[:most]
            found.append(
                replace(item, mismatched=other.completion[:most], mismatched_scored=scored)
            )
        return found

    def open_settings(self, items: Sequence[Completion], asked: TrainConfig) -> dict[str, Any]:
        """Weights with which both labels count the same, where both are left open.

        The rarer label's weight is raised until the ratio of weight times number is 1, within the
        1 to 4/3 of Ethayarajh et al. 2024, eq. 8; the other's is 1.
        """
        labels = items.labels if isinstance(items, LazyItems) else [one.label for one in items]
        good = int(np.sum(labels))
        counts = {"desirable_weight": good, "undesirable_weight": len(items) - good}
        if not all(counts.values()):
            label = "true" if good else "false"
            raise WorkbenchError(
                f"label is {label} in all {len(items)} rows to train on; accepted are rows of both "
                "labels: kto learns from what sets them apart"
            )
        if any(getattr(asked, name) is not None for name in counts):
            return {}
        return {name: max(counts.values()) / count for name, count in counts.items()}

    def columns(self, text: TextCompletion) -> dict[str, Any]:
        return {"prompt": text.prompt, "completion": text.completion, "label": text.label}

    def size(self, item: Completion) -> int:
        return len(item.prompt) + len(item.completion)

    def collate(
        self, items: Sequence[Completion], pad_id: int, layout: str, index: Sequence[int]
    ) -> LabelledBatch:
        return collate_labelled(items, pad_id, layout, index)

    def check_batch_size(self, batch_size: int) -> None:
        if batch_size < 2:
            raise WorkbenchError(
                f"batch_size={batch_size} is not accepted: kto compares each completion with z, "
                "the mean log-ratio of a batch's mismatched completions; at least two are needed"
            )

    @torch.no_grad()
    def statistics(
        self,
        policy: nn.Module,
        batches: Sequence[SequenceBatch],
        settings: Settings,
        reference: Reference | None,
    ) -> Tensor:
        """() `z`, over all batches and processes."""
        found = []
        for batch in batches:
            for one in batch.parts[1:]:
                ratios = completion_logps(policy, one) - given(reference).logps(one)
                found.append(ratios if batch.counts else ratios[:0])
        ratios = torch.cat(found)
        total = distributed.total(torch.stack([ratios.sum(), ratios.new_tensor(len(ratios))]))
        return (total[0] / total[1]).clamp(min=0)

    def losses(
        self,
        policy: nn.Module,
        batch: SequenceBatch,
        settings: Settings,
        reference: Reference | None = None,
        statistics: Any = None,
    ) -> Outcome:
        assert isinstance(batch, LabelledBatch)
        loss = self.loss(settings)
        parameters = loss.pick(settings)
        logps = LabelledLogps(
            completion_logps(policy, batch), given(reference).logps(batch), batch.labels, statistics
        )
        values = loss(logps, **parameters)
        return Outcome(values, label_metrics(logps, parameters["beta"], values))


METHOD = KTO()
