"""A run from end to end: loop, evaluation and record, over the parts that `prepare` made.

A `Run` is an iterator of events. Its caller decides when the next one is computed: a command in
a `for` loop, a dashboard on its thread, a notebook cell by hand.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.data.seals import collected_warnings
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.checkpoint_timer import CheckpointTimer
from workbench.runs.folder.checkpoint_files import load_tensors
from workbench.runs.folder.made_with import restart_point
from workbench.runs.folder.record import Record
from workbench.runs.prepare import Parts, prepare
from workbench.runs.run_loop import RunLoop
from workbench.runs.self_test.result import SelfTest
from workbench.runs.self_test.self_test import self_test
from workbench.train import distributed
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.events import CheckpointEvent, Event
from workbench.train.loop import TrainState
from workbench.train.rollouts.reward_function import Reward
from workbench.train.settings import check_in_run


class Run(RunLoop):
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
        warned: what was damaged when the run was made or resumed.
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
        self.warned: list[str] = []
        self.finished = False
        self._evaluator, self._batches = parts.evaluator, parts.batches.fork()
        self._shared = parts.shared
        self._scored_reference = parts.reference
        self._state = TrainState.start(self.policy, parts.config)
        self._generator: Iterator[Event] | None = None
        self._timer = CheckpointTimer(parts.config.checkpoint_minutes)

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
        if config.out is not None and distributed.is_main():
            Record.refuse_existing(Path(config.out))
        with collected_warnings() as warned:
            run = cls(parts := prepare(config, progress, base, reward))
        run.warned = warned
        run.self_test = self_test(parts, run._state)
        if run.config.out is not None and distributed.is_main():
            run.record = Record.create(Path(run.config.out), run.config)
            run.record.describe(run.data, run.self_test)
        run._see_folder()
        return run

    @classmethod
    def resume(
        cls,
        folder: Path | str,
        progress: Progress | None = None,
        reward: Reward | None = None,
        accept_changes: bool = False,
        base: Model | None = None,
        shard: str | None = None,
    ) -> Run:
        """Go on from the newest good checkpoint of a run that was interrupted or stopped.

        Events after that checkpoint are dropped: they come again. What is damaged is set aside,
        with a warning. A run whose `reward` was a Python function takes it again.

        Args:
            folder: of the run.
            progress: see `create`.
            reward: see `create`.
            accept_changes: go on with a config.toml that differs from what the run was made with.
            base: see `create`; a run that was made with one takes it again.
            shard: what several processes hold, where that is not as it was; see `TrainConfig`.

        Raises:
            WorkbenchError: no run there, it has finished, another process writes it, its settings
                have changed, or its model or data are not what they were.
        """
        folder, main = Path(folder), distributed.is_main()
        with collected_warnings() as warned, Record(folder).held(main) as record:
            point = distributed.from_main(lambda: restart_point(record, accept_changes))
            config = replace(point.config, out=str(folder), shard=shard or point.config.shard)
            parts = prepare(config, progress, base, reward, point.known)
            run = cls(parts)
            run.self_test, run.warned = point.self_test, warned
            if point.start and point.state:
                run._go_on_from(point.start, point.state, point.events, point.changed)
            else:
                run.self_test = self_test(parts, run._state)
            if main:
                run.record = record
                record.write_config(run.config)
                record.describe(run.data, run.self_test)
                record.reopen(run.events)
            run._see_folder()
            return run

    def _see_folder(self) -> None:
        """Raise where a process that writes shards can't see the run's folder."""
        if self.config.out is None or not distributed.is_sharded(self.policy):
            return
        path = Path(self.config.out) / "config.toml"
        distributed.from_main(path.exists)  # so that it is there, where all see the same folder
        if not path.exists():
            raise WorkbenchError(
                f"{path} of the main process is not there: with --shard fsdp all processes write "
                "to the run's folder; give one that all of them share"
            )

    def _go_on_from(
        self, start: Path, state: dict[str, Any], events: Sequence[Event], changed: Sequence[str]
    ) -> None:
        """Take over weights, optimiser, settings, batches and events of a checkpoint."""
        self._refuse_other(state, "reference_hash", "data_hash")
        unfinished = state["step"] < self.total
        load_tensors(start, self.policy, self._state.optimizer if unfinished else None)
        for name in ("step", "seconds", "pairs"):
            setattr(self._state, name, state[name])
        self._take_settings(state)
        self._batches.load_state_dict(state.get("batches", {"step": state["step"]}))
        kept = CheckpointEvent(state["step"], start.name)
        self.events = [*events, kept]
        live = {name: getattr(self.config, name) for name in changed if name in self.settings}
        self.control.set(**{name: value for name, value in live.items() if value is not None})

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
        if distributed.world_size() > 1:
            raise WorkbenchError(
                "a run in several processes can't be branched; resume a copy of it"
            )
        if not name.strip():
            raise WorkbenchError(f"name={name!r} is not accepted: a branch needs one")
        other = copy.copy(self)
        other.name = name
        other.policy = copy.deepcopy(self.policy)
        other.model = replace(self.model, policy=other.policy)
        other._state = self._state.fork(other.policy, self.config)
        other._batches = self._batches.fork()
        other.control = Control(other._check_setting, other._check_together)
        other.events = list(self.events)
        other._generator, other._timer = None, CheckpointTimer(self.config.checkpoint_minutes)
        if self.record is not None:
            folder, suffix = self.record.folder, re.sub(r"[^\w.-]", "-", name)
            beside = folder.with_name(f"{folder.name}-{suffix}")
            other.config = replace(self.config, out=str(beside))
            other.record = Record.create(beside, other.config)
            other.record.describe(self.data, self.self_test)
            other.record.reopen(other.events)
            other.events.append(event := other._checkpoint(keep_optimizer=True))
            other.record.append(event)
        return other
