"""A run from end to end: loop, evaluation and record, over the parts that `prepare` made.

A `Run` is an iterator of events. Its caller decides when the next one is computed: a command in
a `for` loop, a dashboard on its thread, a notebook cell by hand.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.folder.record import Record
from workbench.runs.prepare import Parts, prepare
from workbench.runs.run_view import RunView
from workbench.runs.self_test.result import SelfTest
from workbench.runs.self_test.self_test import self_test
from workbench.train import distributed
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.events import CheckpointEvent, EndEvent, EvalEvent, Event, StepEvent
from workbench.train.loop import NonFiniteLossError, TrainState, fit
from workbench.train.model_lock import model_lock
from workbench.train.rollouts.reward_function import Reward
from workbench.train.settings import check_in_run


class Run(RunView):
    """One training run. Make it by `Run.create` or `Run.resume`, then iterate.

    Attributes:
        name: "run", or the branch's name.
        config: every setting, filled in.
        method: how it is trained.
        model, policy, tokenizer: what is trained.
        data: rows to train on, held-out rows and the rows that were skipped.
        reference_hash: sha256 of the weights before the run.
        data_hash: sha256 of the token ids, training and held-out.
        control: live changes, from any thread.
        events: all events so far.
        self_test: what was checked before the first step; None where no record tells.
    """

    def __init__(self, parts: Parts) -> None:
        self.name = "run"
        self.config, self.model, self.data = parts.config, parts.model, parts.data
        self.policy = parts.model.policy
        self.method = parts.method
        self.reference_hash = parts.reference_hash
        self.data_hash = parts.data.hash
        self.control = Control(self._check_setting, self._check_together)
        self.events: list[Event] = []
        self.record: Record | None = None
        self.self_test: SelfTest | None = None
        self.finished = False
        self._evaluator, self._batches = parts.evaluator, parts.batches.fork()
        self._scored_reference = parts.reference
        self._state = TrainState.start(self.policy, parts.config)
        self._generator: Iterator[Event] | None = None

    # -- making one ---------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        config: TrainConfig,
        progress: Progress | None = None,
        base: Model | None = None,
        reward: Reward | None = None,
    ) -> Run:
        """Load or take the model, read the data, freeze the reference; nothing is trained yet.

        Args:
            config: open fields are filled in for the model.
            progress: called with what is being done and the share done (0 to 1).
            base: a loaded model, instead of the one that `config.model` names.
            reward: (prompts, completions) -> one number each, for ppo, grpo and best_of_n, instead
                of the one that `config.reward` names.

        Raises:
            WorkbenchError: for anything that a person can mend; no run folder is left behind then.
        """
        if config.out is not None:
            Record.refuse_existing(Path(config.out))
        run = cls(parts := prepare(config, progress, base, reward))
        run.self_test = self_test(parts, run._state)
        if run.config.out is not None and distributed.is_main():
            run.record = Record.create(Path(run.config.out), run.config)
            run.record.describe(run.data, run.self_test)
        return run

    @classmethod
    def resume(
        cls,
        folder: Path | str,
        progress: Progress | None = None,
        reward: Reward | None = None,
        base: Model | None = None,
    ) -> Run:
        """Go on from the newest checkpoint of a run that was interrupted or stopped.

        Events after that checkpoint are dropped: they come again. A run whose `reward` was a Python
        function, or that was given its `base`, takes it again.

        Raises:
            WorkbenchError: no run there, it has finished, or its model or data are not what they
                were.
        """
        record = Record(Path(folder))
        config = replace(record.config(), out=str(folder))
        if (record.summary() or {}).get("reason") == "finished":
            raise WorkbenchError(f"the run in {folder} has finished; nothing is left to do")
        parts = prepare(config, progress, base, reward, record.known_data())
        run = cls(parts)
        run.record, run.self_test = record, record.self_test()
        if numbers := record.numbers():
            run._refuse_other(numbers, "reference_hash", "data_hash")
            unfinished = numbers["step"] < run.total
            record.load_checkpoint(run.policy, run._state.optimizer if unfinished else None)
            for name in ("step", "seconds", "pairs"):
                setattr(run._state, name, numbers[name])
            run._take_settings(numbers)
            run._batches.load_state_dict(numbers.get("batches", {"step": numbers["step"]}))
            kept = CheckpointEvent(numbers["step"], record.checkpoints()[-1].name)
            run.events = [*record.events()[: numbers["events"]], kept]
        else:
            run.self_test = self_test(parts, run._state)
            record.describe(run.data, run.self_test)
        record.reopen(run.events)
        return run

    def _take_settings(self, numbers: dict[str, Any]) -> None:
        """Those of a checkpoint; a parameter that it doesn't know keeps its default."""
        self._state.settings.update(numbers["settings"])

    def _check_together(self, changes: Mapping[str, Any]) -> None:
        self.method.check({**self.settings, **changes})

    def _check_setting(self, name: str, value: Any) -> None:
        check_in_run(name, value, self.settings, self.method.name, self.compares)

    def _refuse_other(self, numbers: dict[str, Any], *names: str) -> None:
        """Raise where a checkpoint was made with another model or other data."""
        for name in names:
            if numbers[name] != (now := getattr(self, name)):
                what = (
                    f"model {self.config.model}" if name == "reference_hash" else self.method.noun
                )
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
        other._batches = self._batches.fork()
        other.control = Control(other._check_setting, other._check_together)
        other.events = list(self.events)
        other._generator = None
        if self.record is not None:
            folder, suffix = self.record.folder, re.sub(r"[^\w.-]", "-", name)
            beside = folder.with_name(f"{folder.name}-{suffix}")
            other.config = replace(self.config, out=str(beside))
            other.record = Record.create(beside, other.config)
            other.record.describe(self.data, self.self_test)
            other.events.append(other._checkpoint(keep_optimizer=True))
            other.record.reopen(other.events)
        return other

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
            method=self.method, reference=self._scored_reference, state=self._state,
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
            distributed.whole_state(self.policy),
            state.optimizer if keep_optimizer else None,
            {
                **state.numbers(),
                "batches": self._batches.state_dict(),
                "events": len(self.events),
                "reference_hash": self.reference_hash,
                "data_hash": self.data_hash,
            },
        )
        return CheckpointEvent(self.step, path.name)
