"""A run from end to end: loop, evaluation and record, over the parts that `prepare` made.

A `Run` is an iterator of events. Whoever holds it decides when to ask for the next one: a command
line in a `for` loop, a dashboard from its thread, a notebook cell by hand.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from workbench.data.pairs import SkippedRow, TextPair
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.models.load import Model
from workbench.runs.prepare import Parts, prepare
from workbench.runs.record import Record, trainable_state
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.events import CheckpointEvent, EndEvent, EvalEvent, Event, Sample, StepEvent
from workbench.train.loop import NonFiniteLossError, TrainState, fit, total_steps
from workbench.train.model_lock import model_lock
from workbench.train.objectives import LiveSettings, preference
from workbench.train.precision import peak_memory_bytes
from workbench.train.reference import LiveReference, cache_key


class Run:
    """One training run. Make it by `Run.create` or `Run.resume`, then iterate.

    Attributes:
        name: "run", or the branch's name.
        config: every setting, filled in.
        model, policy, tokenizer: what is trained.
        data: pairs, held-out pairs and the rows set aside.
        reference_hash: sha256 of the frozen reference's weights.
        data_hash: sha256 of the token pairs, training and held-out.
        control: live changes, from any thread.
        events: all that was said so far.
    """

    def __init__(self, parts: Parts) -> None:
        self.name = "run"
        self.config, self.model, self.data = parts.config, parts.model, parts.data
        self.policy: nn.Module = parts.model.policy
        self.reference_hash = parts.reference_hash
        self.data_hash = cache_key("", [*parts.data.train, *parts.data.held_out])
        self.control = Control()
        self.events: list[Event] = []
        self.record: Record | None = None
        self.finished = False
        self._evaluator, self._batches = parts.evaluator, parts.batches
        self._objective = preference(parts.reference)
        self._state = TrainState.start(self.policy, parts.config)
        self._generator: Iterator[Event] | None = None

    # -- making one ---------------------------------------------------------------------------

    @classmethod
    def create(
        cls, config: TrainConfig, progress: Progress | None = None, base: Model | None = None
    ) -> Run:
        """Load or take the model, read the pairs, freeze the reference; nothing is trained yet.

        Args:
            config: open fields are filled in for the model.
            progress: told what is happening, and the share done (0 to 1).
            base: a model in hand, instead of the one that `config.model` names.

        Raises:
            WorkbenchError: for anything that a person can mend; no run folder is left behind then.
        """
        if config.out is not None:
            Record.refuse_existing(Path(config.out))
        run = cls(prepare(config, progress, base))
        if run.config.out is not None:
            run.record = Record.create(Path(run.config.out), run.config)
            run.record.list_skipped(run.skipped)
        return run

    @classmethod
    def resume(cls, folder: Path | str, progress: Progress | None = None) -> Run:
        """Go on from the newest checkpoint of a run that was interrupted or stopped.

        What was said after that checkpoint is taken back: it comes again.

        Raises:
            WorkbenchError: no run there, it has finished, or its model or pairs are not what they
                were.
        """
        record = Record(Path(folder))
        config = replace(record.config(), out=str(folder))
        if (record.summary() or {}).get("reason") == "finished":
            raise WorkbenchError(f"the run in {folder} has finished; nothing is left to do")
        run = cls(prepare(config, progress))
        run.record = record
        if numbers := record.numbers():
            run._refuse_other(numbers, "reference_hash", "data_hash")
            unfinished = numbers["step"] < run.total
            record.load_checkpoint(run.policy, run._state.optimizer if unfinished else None)
            for name in ("step", "seconds", "pairs"):
                setattr(run._state, name, numbers[name])
            run._state.settings = LiveSettings(**numbers["settings"])
            kept = CheckpointEvent(numbers["step"], record.checkpoints()[-1].name)
            run.events = [*record.events()[: numbers["events"]], kept]
        record.reopen(run.events)
        return run

    def _refuse_other(self, numbers: dict[str, Any], *names: str) -> None:
        """Raise where a checkpoint was made with another model or other pairs."""
        for name in names:
            if numbers[name] != (now := getattr(self, name)):
                what = f"model {self.config.model}" if name == "reference_hash" else "pairs"
                raise WorkbenchError(
                    f"the {what} of this run had {name} {numbers[name][:12]}, it is now "
                    f"{now[:12]}; give back what the run was made with"
                )

    def branch(self, name: str) -> Run:
        """A copy of weights, optimiser and settings as they are now; both can go on, apart.

        A recorded run's branch is recorded beside it, in a folder of its own that begins with a
        checkpoint, so that the branch can be resumed from its first step on.
        """
        other = copy.copy(self)
        other.name = name
        other.policy = copy.deepcopy(self.policy)
        other.model = replace(self.model, policy=other.policy)
        other._state = self._state.fork(other.policy, self.config)
        other.control, other.events, other._generator = Control(), list(self.events), None
        if self.record is not None:
            folder, suffix = self.record.folder, re.sub(r"[^\w.-]", "-", name)
            beside = folder.with_name(f"{folder.name}-{suffix}")
            other.config = replace(self.config, out=str(beside))
            other.record = Record.create(beside, other.config)
            other.record.list_skipped(self.skipped)
            other.events.append(other._checkpoint(keep_optimizer=True))
            other.record.reopen(other.events)
        return other

    # -- looking at it ------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return self._state.step

    @property
    def total(self) -> int:
        """Optimiser steps that the whole run takes."""
        return total_steps(self._batches, self.config)

    @property
    def settings(self) -> LiveSettings:
        """Loss, beta and learning rate as they are now."""
        return self._state.settings

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
        """The frozen model that the policy is compared with."""
        return self._evaluator.reference

    @property
    def skipped(self) -> list[SkippedRow]:
        """Rows of the data that can't be used, with the reason."""
        return self.data.skipped

    @property
    def prompts(self) -> list[str]:
        """A few prompts to try, held-out ones where there are any."""
        return list(dict.fromkeys(pair.prompt for pair in self.data.prompts(8)))

    @property
    def shown_sampling(self) -> SamplingConfig:
        """How the texts that are shown are drawn."""
        config = self.config.resolved()
        return SamplingConfig(
            temperature=config.shown_temperature or 0.0, max_new_tokens=config.max_new_tokens or 40
        )

    def frame(self) -> pd.DataFrame:
        """Tidy: one row a number, with columns run, step, metric, value."""
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
        """One row a held-out pair: prompt, chosen, rejected and the pair metrics."""
        texts = pd.DataFrame(
            [(t.prompt, t.chosen, t.rejected) for t in self.data.held_out_texts],
            columns=["prompt", "chosen", "rejected"],
        )
        with model_lock():
            values = self._evaluator.pair_values(self.policy, self.settings)
        return texts.assign(**{name: value.float().cpu().numpy() for name, value in values.items()})

    def samples_frame(
        self, count: int = 256, sampling: SamplingConfig | None = None
    ) -> pd.DataFrame:
        """One row a text: who wrote it, prompt, text, words, and the scores of a known world.

        Reference and policy answer the same `count` prompts with the same seed.
        """
        asked = [pair.prompt for pair in self.data.prompts(count)]
        rows = []
        at_one = replace(self.shown_sampling, temperature=1.0)
        for sample in self.sample(asked, sampling or at_one):
            for who, text in (("reference", sample.reference), ("policy", sample.policy)):
                known = self.data.scores(sample.prompt, text) if self.data.scores else {}
                rows.append(
                    {"who": who, "prompt": sample.prompt, "text": text, "words": len(text.split())}
                    | known
                )
        return pd.DataFrame(rows)

    # -- going on -----------------------------------------------------------------------------

    def __iter__(self) -> Run:
        return self

    def __next__(self) -> Event:
        if self._generator is None:
            self._generator = self._go()
        with model_lock():
            event = next(self._generator)
        self.events.append(event)
        if self.record:
            self.record.append(event)
        return event

    def _go(self) -> Iterator[Event]:
        evaluated = any(isinstance(event, EvalEvent) for event in self.events)
        if not evaluated:
            yield from self._evaluator(self.policy, self.step, self.settings)
        steps = fit(
            self.policy, self._batches, self.config, self.control,
            objective=self._objective, state=self._state,
        )  # fmt: skip
        try:
            for event in steps:
                yield event
                if isinstance(event, StepEvent):
                    yield from self._after_step()
        except NonFiniteLossError as error:
            kept = self.record.checkpoints() if self.record else []
            raise NonFiniteLossError(
                f"{error}; kept: {kept[-1]}" if kept else str(error)
            ) from error
        yield from self._end()

    def _after_step(self) -> Iterator[Event]:
        every, last = self.config.eval_every or 0, self.step == self.total
        if not last and every and self.step % every == 0:
            yield from self._evaluator(self.policy, self.step, self.settings)
        interval = self.config.checkpoint_every or len(self._batches)
        if self.record and not last and self.step % interval == 0:
            yield self._checkpoint(keep_optimizer=True)

    def _end(self) -> Iterator[Event]:
        reason = "finished" if self.step >= self.total else "stopped"
        evaluated = [event.step for event in self.events if isinstance(event, EvalEvent)]
        if self.step not in evaluated:
            yield from self._evaluator(self.policy, self.step, self.settings)
        self.finished = True
        if self.record:
            if self.step not in [e.step for e in self.events if isinstance(e, CheckpointEvent)]:
                yield self._checkpoint(keep_optimizer=reason == "stopped")
            self.record.summarise(self.summary(reason))
        yield EndEvent(self.step, reason)

    def _checkpoint(self, keep_optimizer: bool) -> CheckpointEvent:
        assert self.record is not None
        state = self._state
        path = self.record.save_checkpoint(
            trainable_state(self.policy),
            state.optimizer if keep_optimizer else None,
            {
                **state.numbers(),
                "events": len(self.events),
                "reference_hash": self.reference_hash,
                "data_hash": self.data_hash,
            },
        )
        return CheckpointEvent(self.step, path.name)

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
            "reference_hash": self.reference_hash,
            "settings": asdict(state.settings),
        }
