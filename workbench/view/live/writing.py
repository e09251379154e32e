"""Texts while they are written: a token at a time, on the thread that uses models."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from workbench.compare.model_handles import ModelHandle
from workbench.compare.open_handles import handles
from workbench.compare.streams import stream_together
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run
from workbench.train.events import Sample
from workbench.view.plot.live_figure import Pace

WAITING, WRITING, FINISHED = "waiting", "writing", "finished"
STOPPED, FAILED = "stopped", "failed"
RATE, SHARE = 10, 0.1  # showings a second, and their share of all time, at most
UNFINISHED = "\ufffd"  # what the first bytes of a character are decoded to

Texts = tuple[list[str], ...]


@dataclass(frozen=True)
class Draft:
    """What has been written so far: of each model a list, one text a prompt.

    `state` is "writing", "finished", "stopped" or "failed"; then `error` says why.
    """

    texts: Texts
    state: str
    error: Exception | None = None

    def samples(self, prompts: Sequence[str], seed: int) -> list[tuple[Sample, ...]]:
        """Each model's texts beside those of the first, which has none of its own here."""
        first, *others = self.texts
        return [
            tuple(Sample(*row, seed) for row in zip(prompts, first, texts, strict=True))
            for texts in others
        ]


class Writing:
    """Texts that several models write by turns, and where they are shown.

    Made on any thread; all but `cancel` is for the thread that uses the models.

    Args:
        asked: who writes.
        prompts: answered by each.
        sampling: the same for all.
        show: told what there is so far, `RATE` times a second at most, the newest; and the end.
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
        self._pace = Pace(RATE, SHARE)
        self._unwanted = threading.Event()

    def begin(self) -> None:
        """Nothing is written yet, and shown to be so."""
        self._states = stream_together(self._asked, self._prompts, self._sampling)
        self._tell(WRITING)

    def advance(self) -> bool:
        """Write the next token of each; whether that was not the end."""
        if self.cancelled:
            self.stop()
            return False
        try:
            texts = next(self._states, None)
        except Exception as error:
            self._tell(FAILED, error)
            return False
        if texts is None:
            self._tell(FINISHED)
            return False
        self._texts = texts
        if self._pace.due(time.perf_counter()):
            self._tell(WRITING)
        return True

    def stop(self) -> None:
        """Give it up: what has been written stays."""
        if isinstance(self._states, Generator):
            self._states.close()  # before anything else uses the models
        self._tell(STOPPED)

    def cancel(self) -> None:
        """Have it given up before the next token; from any thread."""
        self._unwanted.set()

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        return self._unwanted.is_set()

    def _tell(self, state: str, error: Exception | None = None) -> None:
        begin, texts = time.perf_counter(), self._texts
        if state == WRITING:
            texts = tuple([text.rstrip(UNFINISHED) for text in each] for each in texts)
        self._show(Draft(texts, state, error))
        self._pace.drew(begin, time.perf_counter())


def reference_and_policies(runs: Sequence[Run], every: Sequence[Run]) -> list[ModelHandle]:
    """The reference that a run shares with its branches, then the policy of each of `runs`.

    Args:
        runs: that are asked.
        every: that may be used between two tokens.
    """
    (reference, first), *others = map(handles, runs)
    # Adapters that are trained may not stay switched off from one token to the next.
    trained = any(reference.model is run.policy for run in every)
    reference = replace(reference, own_model=reference.own_model and not trained)
    return [reference, first, *(policy for _, policy in others)]
