"""Supervised fine-tuning: the mean negative log-likelihood per token of the completions.

Of preference pairs the chosen completions are learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from workbench.core.batch import Completion, SequenceBatch
from workbench.core.collation import collate_completions
from workbench.core.logps import completion_logps
from workbench.data.completions import TextCompletion, encode_completions, read_completions
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source
from workbench.data.pairs import ReadRows, TextPair
from workbench.data.tokenizer import Tokenizer
from workbench.train.method import Encoded, Method, Outcome, Reference, Settings


class SFT(Method[Completion]):
    """One row is a prompt with a completion."""

    name = "sft"
    noun = "completions"
    completions = 1

    def read(self, source: Source, reading: Reading | str | None = None) -> ReadRows:
        return read_completions(source, labelled=False, reading=reading)

    def from_pairs(self, pairs: Sequence[TextPair]) -> list[TextCompletion]:
        return [TextCompletion.of(pair, True) for pair in pairs]

    def encode(
        self, texts: Sequence[TextCompletion], tokenizer: Tokenizer, max_length: int
    ) -> Encoded[Completion]:
        return Encoded(*encode_completions(texts, tokenizer, max_length))

    def columns(self, text: TextCompletion) -> dict[str, Any]:
        return {"prompt": text.prompt, "completion": text.completion}

    def size(self, item: Completion) -> int:
        return len(item.prompt) + len(item.completion)

    def collate(
        self, items: Sequence[Completion], pad_id: int, layout: str, index: Sequence[int]
    ) -> SequenceBatch:
        return collate_completions(items, pad_id, layout, index)

    def weights(self, batch: SequenceBatch) -> Tensor:
        return batch.lengths()

    def losses(
        self,
        policy: nn.Module,
        batch: SequenceBatch,
        settings: Settings,
        reference: Reference | None = None,
        statistics: Any = None,
    ) -> Outcome:
        logps, lengths = completion_logps(policy, batch), batch.lengths()
        values = self.loss(settings)(logps)
        metrics = {
            "loss": (values / lengths).detach(),
            "logps/completion": logps.detach(),
            "lengths/completion": lengths.float(),
        }
        return Outcome(values, metrics)


METHOD = SFT()
