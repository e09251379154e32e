"""What can be read of a run while it goes on and afterwards: numbers, texts, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from workbench.core.policy import Policy
from workbench.data.pairs import SkippedRow, TextPair, TruncatedRow
from workbench.data.preflight import preflight
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.models.load import Model
from workbench.runs.evaluate import Evaluator
from workbench.runs.folder.record import Record
from workbench.runs.run_data import RunData
from workbench.runs.self_test.result import SelfTest
from workbench.train.batches import BatchSource
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, Event, Sample, StepEvent
from workbench.train.loop import TrainState, total_steps
from workbench.train.method import Method
from workbench.train.model_lock import model_lock
from workbench.train.precision import peak_memory_bytes
from workbench.train.reference.live import LiveReference
from workbench.train.settings import LiveSettings

READING = ("columns", "turns", "ranked", "min_gap", "allow_special")  # how a file is read


class RunView:
    """The reading half of `Run`."""

    name: str
    config: TrainConfig
    method: Method[Any]
    model: Model
    policy: Policy
    data: RunData
    reference_hash: str
    events: list[Event]
    record: Record | None
    self_test: SelfTest | None
    warned: list[str]
    _evaluator: Evaluator
    _batches: BatchSource
    _state: TrainState

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return self._state.step

    @property
    def total(self) -> int:
        """Optimiser steps that the whole run takes."""
        return total_steps(self._batches, self.config)

    @cached_property
    def preflight_line(self) -> str:
        """What was found in the file of pairs, in one line, and where all of it can be read.

        Empty where nothing was found beside rows that are skipped or cut.
        """
        config, longest = self.config, self.config.max_length
        if config.data == "reviews" or not self.method.paired or longest is None:
            return ""
        rows, of_rows = self.data.first_rows, ""
        if rows == []:
            return ""
        if rows is not None:
            of_rows = f" of the first {len(rows):,} rows"
        given = config.data if rows is None else rows
        try:
            found = preflight(given, self.tokenizer, longest, config.reading).in_line
        except WorkbenchError as error:
            if rows is None:
                raise
            return f"preflight: {error}"  # of these rows; the run has others that can be used
        usual = TrainConfig()
        changed = {name: getattr(config, name) for name in ("model", *READING)}
        flags = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f" {quote(str(value))}")
            for name, value in changed.items()
            if name == "model" or value != getattr(usual, name)
        ]
        command = " ".join(["python -m workbench preflight", quote(config.data), *flags])
        return f"preflight{of_rows}: {found}; see {command}" if found else ""

    @property
    def settings(self) -> LiveSettings:
        """Learning rate, loss and its parameters as they are now."""
        return self._state.settings

    @property
    def live_parameters(self) -> dict[str, Any]:
        """The parameters of the loss as they are now."""
        return self.method.loss(self.settings).pick(self.settings)

    @property
    def folder(self) -> Path | None:
        """Where the run is written, if it is."""
        return self.record.folder if self.record else None

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self.model.tokenizer

    @property
    def reference(self) -> LiveReference:
        """The model as it was before the run, which texts are compared with.

        The loss may compare with it too, or not know it at all; see `compares`.
        """
        return self._evaluator.start

    @property
    def compares(self) -> bool:
        """Whether the loss compares the policy with the reference."""
        return self._evaluator.beside

    @property
    def skipped(self) -> Sequence[SkippedRow]:
        """Rows of the data that can't be used, with the reason."""
        return self.data.skipped

    @property
    def truncated(self) -> Sequence[TruncatedRow]:
        """Rows with completions that were cut at `max_length` and lost their end of sequence."""
        return self.data.truncated

    @property
    def prompts(self) -> list[str]:
        """A few prompts to try, held-out ones where there are any."""
        return list(dict.fromkeys(pair.prompt for pair in self.data.prompts(8)))

    @property
    def shown_sampling(self) -> SamplingConfig:
        """How the texts that are shown are drawn, see `generation.shown`."""
        return replace(self._evaluator.shown, seed=0)

    @property
    def estimate_sampling(self) -> SamplingConfig:
        """How the texts that numbers are estimated from are drawn: from the policy itself."""
        return replace(self._evaluator.sampling, seed=0)

    def frame(self) -> pd.DataFrame:
        """Tidy: one row per number, with columns run, step, metric, value."""
        rows = [
            (self.name, event.step, name, value)
            for event in self.events
            if isinstance(event, StepEvent | EvalEvent)
            for name, value in event.metrics.items()
        ]
        return pd.DataFrame(rows, columns=["run", "step", "metric", "value"])

    def sample(
        self, prompts: list[str], sampling: SamplingConfig | None = None
    ) -> tuple[Sample, ...]:
        """Reference and policy on `prompts` with the same seed."""
        pairs = [TextPair(prompt, "", "") for prompt in prompts]
        with model_lock():
            return self._evaluator.sample(self.policy, pairs, sampling or self.shown_sampling)

    def evaluate(self) -> dict[str, float]:
        """The held-out metrics of the policy as it is now, keys with `held_out/` in front."""
        with model_lock():
            event = self._evaluator(self.policy, self.step, self.settings)[0]
        assert isinstance(event, EvalEvent)
        return event.metrics

    def held_out_frame(self) -> pd.DataFrame:
        """One row per held-out item: its texts and its metrics."""
        texts = pd.DataFrame([self.method.columns(text) for text in self.data.held_out_texts])
        with model_lock():
            values = self._evaluator.item_values(self.policy, self.settings)
        return texts.assign(**{name: value.float().cpu().numpy() for name, value in values.items()})

    def samples_frame(
        self, count: int = 256, sampling: SamplingConfig | None = None
    ) -> pd.DataFrame:
        """One row per text: `who` wrote it, prompt, text, words, and the scores of a known world.

        Reference and policy answer the same `count` prompts with the same seed.
        """
        asked = [pair.prompt for pair in self.data.prompts(count)]
        rows = []
        for sample in self.sample(asked, sampling or self.estimate_sampling):
            for who, text in sample.texts.items():
                known = self.data.scores(sample.prompt, text) if self.data.scores else {}
                rows.append(
                    {"who": who, "prompt": sample.prompt, "text": text, "words": len(text.split())}
                    | known
                )
        return pd.DataFrame(rows)

    def summary(self, reason: str) -> dict[str, Any]:
        """What summary.json holds: the last held-out metrics and what the run took."""
        evaluations = [event for event in self.events if isinstance(event, EvalEvent)]
        state = self._state
        return {
            **(evaluations[-1].metrics if evaluations else {}),
            "reason": reason,
            "steps": state.step,
            "pairs": state.pairs,
            "seconds": state.seconds,
            "pairs_per_second": state.pairs / state.seconds if state.seconds else 0.0,
            "peak_memory_bytes": peak_memory_bytes(self.config.device),
            "skipped_rows": len(self.skipped),
            "truncated_rows": len(self.truncated),
            "truncated_completions": sum(len(row.completions) for row in self.truncated),
            "reference_hash": self.reference_hash,
            "method": self.method.name,
            "settings": {
                "lr": state.settings.lr,
                **self.live_parameters,
                "loss": state.settings.loss,
            },
        }
