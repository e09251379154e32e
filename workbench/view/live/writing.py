"""Texts while models write them: one token at a time, on the thread that uses models."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from workbench.compare.handle_sources import handles
from workbench.compare.model_handles import ModelHandle
from workbench.compare.streams import stream_together
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run
from workbench.train.events import Sample
from workbench.view.throttle import Throttle

WAITING, WRITING, FINISHED = "waiting", "writing", "finished"
STOPPED, FAILED = "stopped", "failed"
RATE, SHARE = 10, 0.1  # drafts shown per second, and their share of all time, at most
UNFINISHED = "\ufffd"  # what the first bytes of a character are decoded to

Texts = tuple[list[str], ...]


@dataclass(frozen=True)
class Draft:
    """What has been written so far: one list per model, one text per prompt.

    `state` is "writing", "finished", "stopped", or "failed" with an `error`. `cuts` are as the
    texts: the tokens at which an answer was cut off, 0 where it ran to its end.
    """

    texts: Texts
    state: str
    error: Exception | None = None
    cuts: tuple[list[int], ...] = ()

    def samples(
        self, prompts: Sequence[str], seed: int, drawn: str = ""
    ) -> list[tuple[Sample, ...]]:
        """The samples of each model but the first, which is the reference of all."""
        none = [[0] * len(prompts) for _ in self.texts]
        (first, first_cuts), *others = zip(self.texts, self.cuts or none, strict=True)
        return [
            tuple(
                Sample(prompt, before, after, seed, cut, own_cut, drawn)
                for prompt, before, after, cut, own_cut in zip(
                    prompts, first, texts, first_cuts, ours, strict=True
                )
            )
            for texts, ours in others
        ]


class Writing:
    """Texts that several models write, one token each in turn, and where they are shown.

    Made on any thread; all but `cancel` is for the thread that uses the models.

    Args:
        asked: the models.
        prompts: answered by each.
        sampling: the same for all.
        show: called with the newest draft, `RATE` times per second at most, and with the last one.
    """

    def __init__(
        self,
        asked: Sequence[ModelHandle],
        prompts: Sequence[str],
        sampling: SamplingConfig,
        show: Callable[[Draft], None],
    ) -> None:
        self._asked, self._prompts, self._sampling = asked, prompts, sampling
        self._show = show
        self._states: Iterator[Texts] = iter(())
        self._texts: Texts = tuple([""] * len(prompts) for _ in asked)
        self._cuts: tuple[list[int], ...] = ()
        self._throttle = Throttle(RATE, SHARE)
        self._cancelled = threading.Event()

    def begin(self) -> None:
        """Show empty texts; the first `advance` writes into them."""
        self._states = self._stream()
        self._show_draft(WRITING)

    def _stream(self) -> Iterator[Texts]:
        """The texts so far after each step; another way of writing overrides it."""
        return stream_together(self._asked, self._prompts, self._sampling)

    def advance(self) -> bool:
        """Write the next token of each model; False at the end."""
        if self.cancelled:
            self.stop()
            return False
        try:
            self._texts = next(self._states)
        except StopIteration as end:
            self._cuts = end.value or ()
            self._show_draft(FINISHED)
            return False
        except Exception as error:
            self._show_draft(FAILED, error)
            return False
        if self._throttle.due():
            self._show_draft(WRITING)
        return True

    def stop(self) -> None:
        """End before the texts are finished: what has been written stays."""
        if isinstance(self._states, Generator):
            self._states.close()  # before anything else uses the models
        self._show_draft(STOPPED)

    def cancel(self) -> None:
        """Stop before the next token; from any thread."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled.is_set()

    def _show_draft(self, state: str, error: Exception | None = None) -> None:
        texts = self._texts
        if state == WRITING:
            texts = tuple([text.rstrip(UNFINISHED) for text in each] for each in texts)
        with self._throttle.measure():
            self._show(Draft(texts, state, error, self._cuts))


def reference_and_policies(runs: Sequence[Run], every: Sequence[Run]) -> list[ModelHandle]:
    """The reference that a run shares with its branches, then the policy of each of `runs`.

    Args:
        runs: those whose policies answer.
        every: all runs that may take a step between two tokens.
    """
    (reference, first), *others = map(handles, runs)
    # Adapters must not stay switched off from one token to the next while they are trained.
    trained = any(reference.model is run.policy for run in every)
    reference = replace(reference, own_model=reference.own_model and not trained)
    return [reference, first, *(policy for _, policy in others)]
