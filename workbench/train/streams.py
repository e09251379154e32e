"""Texts while they are written: several writers take turns, so that panes fill side by side.

Between two steps the caller has its own modes and weights: autocast and bf16 copies, adapters
switched off and the like are on within a step only. What is slow to set up is set up once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from workbench.errors import WorkbenchError
from workbench.models.config import SamplingConfig
from workbench.models.sampling import drafts
from workbench.train.precision import autocast, working_copies
from workbench.train.turns import using_models

if TYPE_CHECKING:
    from workbench.train.writers import Writer

Context = Callable[[], AbstractContextManager[object]]


class Inside:
    """A policy that is asked within a context alone, though its module is used outside, too."""

    def __init__(self, model: Any, around: Context) -> None:
        self._model, self._around = model, around

    def hidden(self, *arguments: Any) -> Any:
        """As the policy's own."""
        with self._around():
            return self._model.hidden(*arguments)

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """As the policy's own."""
        with self._around():
            return self._model.head(hidden)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


@contextmanager
def opened(writer: Writer) -> Iterator[Context]:
    """Gives a context to enter at every step; bf16 copies are made once for all of them."""
    once, each = (writer.around, nullcontext) if writer.own_model else (nullcontext, writer.around)
    with once():
        copies = working_copies(writer.model, writer.device, writer.precision)

        @contextmanager
        def step() -> Iterator[None]:
            with ExitStack() as stack:
                stack.enter_context(using_models())
                stack.enter_context(torch.no_grad())
                stack.enter_context(each())
                stack.enter_context(autocast(writer.device, writer.precision))
                if copies:
                    stack.enter_context(copies.active())
                yield

        yield step


def stream(writer: Writer, prompts: Sequence[str], sampling: SamplingConfig) -> Iterator[list[str]]:
    """Yield each prompt's text so far after every step; see `Writer.stream`."""
    tokenizer = writer.tokenizer
    sampling, along, amateur = writer.contrasted(sampling)
    with ExitStack() as stack:
        steps = [stack.enter_context(opened(one)) for one in (*along, writer)]
        found = drafts(
            writer.model,
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
            yield [writer.text(ids, sampling) for ids in answers]


def check_contrast(asked: Sequence[Writer], sampling: SamplingConfig) -> None:
    """Refuse contrastive decoding where nobody who is asked has an amateur to compare with."""
    if sampling.contrast_alpha and all(writer.amateur is None for writer in asked):
        raise WorkbenchError(
            f"contrast_alpha={sampling.contrast_alpha:g} needs somebody to compare with; open two "
            "writers, or set it to 0"
        )


def stream_together(
    asked: Sequence[Writer], prompts: Sequence[str], sampling: SamplingConfig
) -> Iterator[tuple[list[str], ...]]:
    """Yield, after a step of each writer, what all have written so far: one list of texts each.

    Who has finished stays as it is while the others go on. The last texts are those of `answer`.
    """
    check_contrast(asked, sampling)
    streams = [writer.stream(prompts, sampling) for writer in asked]
    texts: list[list[str]] = [[""] * len(prompts) for _ in asked]
    going = set(range(len(streams)))
    while going:
        for number in sorted(going):
            step = next(streams[number], None)
            if step is None:
                going.remove(number)
            else:
                texts[number] = step
        if going:
            yield tuple(texts)
