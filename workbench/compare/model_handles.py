"""A model with all that it takes to ask it, under a name.

Whatever compares models holds them as handles: policy and reference of a run, two checkpoints, two
runs, or any models that share a tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.collate import collate_sequences
from workbench.core.logps import next_token
from workbench.data.tokenizer import Tokenizer
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import drafts, generate
from workbench.generation.scoped_policy import Context, ScopedPolicy
from workbench.generation.stops import cut
from workbench.train.model_lock import model_lock
from workbench.train.precision import autocast, bf16_weights, computing

Ids = Sequence[int]


@dataclass(frozen=True)
class ModelHandle:
    """A model that can be asked. Not from two threads at once, nor while another one trains it.

    Attributes:
        name: what people see it by.
        model: a policy, see `core.transformer.Policy`.
        around: a context within which `model` is this model; adapters switched off, for one.
        own_model: nobody else uses `model`, so that `around` may stay on between the steps of a
            stream.
        amateur: whom contrastive decoding compares with. A model without one writes plainly, as
            the reference does beside its policy.
    """

    name: str
    model: nn.Module
    tokenizer: Tokenizer
    device: str = "cpu"
    precision: str = "float32"
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    own_model: bool = False
    amateur: ModelHandle | None = None

    @contextmanager
    def active(self) -> Iterator[nn.Module]:
        """The model, ready to be asked, in the number format of its run; no gradient is kept."""
        asked = computing(self.model, self.device, self.precision)
        with model_lock(), torch.no_grad(), self.around(), asked:
            yield self.model

    def write(self, prompts: Sequence[str], sampling: SamplingConfig) -> list[list[int]]:
        """The new tokens for each prompt, without the end token; `text` makes texts of them."""
        tokenizer = self.tokenizer
        rendered = [tokenizer.render_prompt(prompt) for prompt in prompts]
        sampling, along, amateur = self.contrasted(sampling)
        with ExitStack() as stack:
            for handle in (*along, self):
                stack.enter_context(handle.active())
            return generate(
                self.model,
                rendered,
                sampling,
                tokenizer.stop_ids,
                tokenizer.pad_id,
                decode=tokenizer.decode,
                amateur=amateur,
            )

    def text(self, ids: Ids, sampling: SamplingConfig) -> str:
        """The text of an answer, cut before the first stop string."""
        return cut(self.tokenizer.decode(ids), sampling.stop)

    def answer(self, prompts: Sequence[str], sampling: SamplingConfig) -> list[str]:
        """One text a prompt. The same seed gives every model the same luck."""
        return [self.text(ids, sampling) for ids in self.write(prompts, sampling)]

    def stream(self, prompts: Sequence[str], sampling: SamplingConfig) -> Iterator[list[str]]:
        """Yield each prompt's text so far after every step; the last ones are those of `answer`.

        Texts only grow, but for beam search, which may change its mind, and for the beginning of a
        stop string, which goes again once the whole is there. `streams.stream_together` lets
        several models take turns.
        """
        tokenizer = self.tokenizer
        sampling, along, amateur = self.contrasted(sampling)
        with ExitStack() as stack:
            steps = [stack.enter_context(one._opened()) for one in (*along, self)]
            found = drafts(
                self.model,
                [tokenizer.render_prompt(prompt) for prompt in prompts],
                sampling,
                tokenizer.stop_ids,
                tokenizer.pad_id,
                decode=tokenizer.decode,
                amateur=amateur,
            )
            while True:
                with ExitStack() as now:
                    for step in steps:
                        now.enter_context(step())
                    answers = next(found, None)
                if answers is None:
                    return
                yield [self.text(ids, sampling) for ids in answers]

    @contextmanager
    def _opened(self) -> Iterator[Context]:
        """Gives a context to enter at every step; bf16 copies are made once for all of them."""
        once, each = (self.around, nullcontext) if self.own_model else (nullcontext, self.around)
        with once():
            copies = bf16_weights(self.model, self.device, self.precision)

            @contextmanager
            def step() -> Iterator[None]:
                with ExitStack() as stack:
                    stack.enter_context(model_lock())
                    stack.enter_context(torch.no_grad())
                    stack.enter_context(each())
                    stack.enter_context(autocast(self.device, self.precision))
                    if copies:
                        stack.enter_context(copies.active())
                    yield

            yield step

    def contrasted(
        self, sampling: SamplingConfig
    ) -> tuple[SamplingConfig, tuple[ModelHandle, ...], Any]:
        """What is left to ask for, who has to be opened before this model, and the amateur."""
        other = self.amateur
        if not sampling.contrast_alpha or other is None:
            return replace(sampling, contrast_alpha=0.0), (), None
        if other.own_model:
            return sampling, (other,), other.model
        return sampling, (), ScopedPolicy(other.model, other.around)

    def next_logps(self, prompt: Ids, completion: Ids) -> Tensor:
        """(completion, vocab) log-probabilities of every token at each place of a completion."""
        return self.all_next_logps([(prompt, completion)])[0]

    def all_next_logps(self, sequences: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """`next_logps` of each (prompt, completion); for a large vocabulary ask a few at a time."""
        return self._score(sequences, lambda logps, completion: logps)

    def token_logps(self, sequences: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """For each (prompt, completion) the log-probability of its completion's tokens."""
        return self._score(
            sequences, lambda logps, ids: logps.gather(-1, torch.tensor(ids)[:, None])[:, 0]
        )

    def _score(
        self, sequences: Sequence[tuple[Ids, Ids]], keep: Callable[[Tensor, Ids], Tensor]
    ) -> list[Tensor]:
        """What `keep` takes of (completion, vocab), one sequence after the other.

        Not in a batch, because a whole vocabulary a position is large; but in one context, because
        entering it may round all weights or read them from disk.
        """
        found = []
        with self.active() as model:
            for prompt, completion in sequences:
                batch: SequenceBatch = collate_sequences(
                    [(prompt, completion)], self.tokenizer.pad_id
                )
                here = batch.to(self.device)
                hidden = model.hidden(here.tokens, here.positions, here.attention_mask())  # type: ignore[operator]
                before, scored = next_token(hidden, here.completion_mask)
                logits = model.head(before[scored])  # type: ignore[operator]
                found.append(keep(logits.float().log_softmax(-1).cpu(), completion))
        return found
