"""Who writes and who scores: a model with all that it takes to ask it, under a name.

Everything that compares two models asks writers: policy and reference of a run, two checkpoints,
two runs, or any models that share a tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch, collate_sequences
from workbench.core.logps import next_token
from workbench.data.tokenizer import Tokenizer
from workbench.models.config import SamplingConfig
from workbench.models.sampling import generate
from workbench.train.precision import computing
from workbench.train.run import Run

Ids = Sequence[int]


@dataclass(frozen=True)
class Writer:
    """A model that can be asked. Not from two threads at once, nor while another one trains it.

    Attributes:
        name: what people see it by.
        model: a policy, see `core.transformer.Policy`.
        around: a context within which `model` is this writer; adapters switched off, for one.
    """

    name: str
    model: nn.Module
    tokenizer: Tokenizer
    device: str = "cpu"
    precision: str = "float32"
    around: Callable[[], AbstractContextManager[object]] = nullcontext

    @contextmanager
    def active(self) -> Iterator[nn.Module]:
        """The model, ready to be asked, in the number format of its run; no gradient is kept."""
        with torch.no_grad(), self.around(), computing(self.model, self.device, self.precision):
            yield self.model

    def answer(self, prompts: Sequence[str], sampling: SamplingConfig) -> list[str]:
        """One text a prompt. The same seed gives every writer the same luck."""
        tokenizer = self.tokenizer
        rendered = [tokenizer.render_prompt(prompt) for prompt in prompts]
        with self.active() as model:
            found = generate(model, rendered, sampling, tokenizer.stop_ids, tokenizer.pad_id)
        return [tokenizer.decode(ids) for ids in found]

    def next_logps(self, prompt: Ids, completion: Ids) -> Tensor:
        """(completion, vocab) log-probabilities of every token at each place of a completion."""
        (found,) = self._distributions([(prompt, completion)])
        return found

    def token_logps(self, sequences: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """For each (prompt, completion) the log-probability of its completion's tokens."""
        return [
            logps.gather(-1, torch.tensor(completion)[:, None])[:, 0]
            for logps, (_, completion) in zip(
                self._distributions(sequences), sequences, strict=True
            )
        ]

    def _distributions(self, sequences: Sequence[tuple[Ids, Ids]]) -> Iterator[Tensor]:
        """One sequence at a time: a whole vocabulary a position is large."""
        for sequence in sequences:
            batch: SequenceBatch = collate_sequences([sequence], self.tokenizer.pad_id)
            here = batch.to(self.device)
            with self.active() as model:
                hidden = model.hidden(here.tokens, here.positions, here.attention_mask())  # type: ignore[operator]
                before, scored = next_token(hidden, here.completion_mask)
                logits = model.head(before[scored])  # type: ignore[operator]
            yield logits.float().log_softmax(-1).cpu()


def writers(run: Run) -> tuple[Writer, Writer]:
    """Reference and policy of a run, as they are now."""
    policy = Writer("policy", run.policy, run.tokenizer, run.config.device, run.config.precision)
    reference = run.reference
    asked = replace(policy, name="reference", model=reference.model, around=reference.active)
    return asked, policy
