"""A model under a name, with its tokenizer and everything else that running it needs.

Code that compares models works on handles: policy and reference of a run, two checkpoints, two
runs, or any models that share a tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.collation import collate_sequences
from workbench.core.logps import next_token
from workbench.data.tokenizer import Tokenizer
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import drafts, generate
from workbench.generation.scoped_policy import Context, ScopedPolicy
from workbench.generation.shown import cut_at
from workbench.generation.stops import cut
from workbench.train.model_lock import model_lock
from workbench.train.precision import autocast, bf16_weights, computing

Ids = Sequence[int]


@dataclass(frozen=True)
class ModelHandle:
    """A model to generate and score with; not thread-safe, and not to be used while it is trained.

    Attributes:
        name: for display.
        model: a policy, see `core.transformer.Policy`.
        around: a context within which `model` is this model, such as with adapters switched off.
        own_model: no other code uses `model`, so that `around` may stay entered between the steps
            of a stream.
        amateur: the model that contrastive decoding compares with. A handle without one decodes
            without contrast, as the reference does next to its policy.
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
        """The model, ready for use in the number format of its run; no gradient is kept."""
        precision = computing(self.model, self.device, self.precision)
        with model_lock(), torch.no_grad(), self.around(), precision:
            yield self.model

    @contextmanager
    def by_turns(self) -> Iterator[Any]:
        """`active` for a model that is computed by turns with others, whose module may be its own.

        Where it is not the only one to use its module, `around` is entered for its turns alone.
        """
        if self.own_model:
            with self.active() as model:
                yield model
        else:
            precision = computing(self.model, self.device, self.precision)
            with model_lock(), torch.no_grad(), precision:
                yield ScopedPolicy(self.model, self.around)

    def generate_ids(self, prompts: Sequence[str], sampling: SamplingConfig) -> list[list[int]]:
        """The new tokens of each prompt, without the end token; `text` decodes them."""
        sampling, opened_first, amateur = self._contrast(sampling)
        with ExitStack() as stack:
            for handle in (*opened_first, self):
                stack.enter_context(handle.active())
            return generate(**self._request(prompts, sampling, amateur))

    def text(self, ids: Ids, sampling: SamplingConfig) -> str:
        """The text of an answer, cut before the first stop string."""
        return cut(self.tokenizer.decode(ids), sampling.stop)

    def answer(self, prompts: Sequence[str], sampling: SamplingConfig) -> list[str]:
        """One text per prompt. With the same seed, every model uses the same random numbers."""
        return [self.text(ids, sampling) for ids in self.generate_ids(prompts, sampling)]

    def cut_at(self, prompt: str, ids: Ids, sampling: SamplingConfig) -> int:
        """The number of tokens at which an answer was cut off; 0 where it ran to its end."""
        tokenizer = self.tokenizer
        return cut_at(self.model, tokenizer.render_prompt(prompt), ids, sampling, tokenizer.decode)

    def stream(
        self, prompts: Sequence[str], sampling: SamplingConfig
    ) -> Generator[list[str], None, list[int]]:
        """Yield each prompt's text so far after every step; the last texts are those of `answer`.

        In the end it returns for each answer where it was cut off, see `cut_at`.

        Texts only grow, except in beam search, and except for the beginning of a stop string,
        which is removed once the string is complete. `streams.stream_together` alternates between
        several models.
        """
        sampling, opened_first, amateur = self._contrast(sampling)
        with ExitStack() as stack:
            contexts = [stack.enter_context(one._opened()) for one in (*opened_first, self)]
            steps = drafts(**self._request(prompts, sampling, amateur))
            last: list[list[int]] = []
            while True:
                with ExitStack() as step:
                    for context in contexts:
                        step.enter_context(context())
                    answers = next(steps, None)
                if answers is None:
                    break
                last = answers
                yield [self.text(ids, sampling) for ids in answers]
        return [self.cut_at(*row, sampling) for row in zip(prompts, last, strict=True)]

    def _request(
        self, prompts: Sequence[str], sampling: SamplingConfig, amateur: Any
    ) -> dict[str, Any]:
        """The arguments of `generate` and `drafts`."""
        tokenizer = self.tokenizer
        return {
            "policy": self.model,
            "prompts": [tokenizer.render_prompt(prompt) for prompt in prompts],
            "config": sampling,
            "stop_ids": tokenizer.stop_ids,
            "pad_id": tokenizer.pad_id,
            "decode": tokenizer.decode,
            "amateur": amateur,
        }

    @contextmanager
    def _opened(self) -> Iterator[Context]:
        """A context to enter at every step; bf16 copies are made once for all steps."""
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

    def _contrast(
        self, sampling: SamplingConfig
    ) -> tuple[SamplingConfig, tuple[ModelHandle, ...], Any]:
        """Settings (no contrast without an amateur), handles to open before this one, amateur."""
        amateur = self.amateur
        if not sampling.contrast_alpha or amateur is None:
            return replace(sampling, contrast_alpha=0.0), (), None
        if amateur.own_model:
            return sampling, (amateur,), amateur.model
        return sampling, (), ScopedPolicy(amateur.model, amateur.around)

    def next_logps(self, prompt: Ids, completion: Ids) -> Tensor:
        """(completion, vocab) log-probabilities of all tokens at each position of a completion."""
        return self.all_next_logps([(prompt, completion)])[0]

    def all_next_logps(self, sequences: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """`next_logps` of each (prompt, completion); pass a few if the vocabulary is large."""
        return self._score(sequences, lambda logps, completion: logps)

    def token_logps(self, sequences: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """(completion,) log-probabilities of the tokens of each (prompt, completion)."""
        return self._score(
            sequences, lambda logps, ids: logps.gather(-1, torch.tensor(ids)[:, None])[:, 0]
        )

    def _score(
        self, sequences: Sequence[tuple[Ids, Ids]], keep: Callable[[Tensor, Ids], Tensor]
    ) -> list[Tensor]:
        """`keep` of the (completion, vocab) log-probabilities, one sequence after the other.

        Not in a batch, because a vocabulary per position is large; but in one context, because
        entering it may round all weights or read them from disk.
        """
        results = []
        with self.active() as model:
            for prompt, completion in sequences:
                batch: SequenceBatch = collate_sequences(
                    [(prompt, completion)], self.tokenizer.pad_id
                )
                batch = batch.to(self.device)
                hidden = model.hidden(batch.tokens, batch.positions, batch.attention_mask())  # type: ignore[operator]
                before, scored = next_token(hidden, batch.completion_mask)
                logits = model.head(before[scored])  # type: ignore[operator]
                results.append(keep(logits.float().log_softmax(-1).cpu(), completion))
        return results
