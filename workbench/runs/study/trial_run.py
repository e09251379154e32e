"""One run of a sweep: made or gone on with, its evaluations reported, ended in good order."""

from __future__ import annotations

import copy
import errno
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optuna.trial import Trial, TrialState

from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.folder.record import Record
from workbench.runs.prepare import Parts
from workbench.runs.run import Run
from workbench.runs.study.config import KL
from workbench.runs.study.plan import Plan
from workbench.runs.sweep import group_of, prepare_group, start_run, with_parsed_reward
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, Event, StepEvent

REASON, OUTCOME, PRUNED = "reason", "outcome", "pruned_at"  # Optuna's user attributes


# Of the machine, not of a run: whoever goes on takes it up again.
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}


class SweepEndedError(WorkbenchError):
    """What ends a sweep and not one of its runs alone, and leaves the run to be taken up again."""


class EveryRunError(SweepEndedError):
    """A mistake that would come again in every run of the sweep."""


class TrialRuns:
    """Carries out one run after the other; what they share is prepared once."""

    def __init__(self, plan: Plan, base: Model | None, progress: Progress | None) -> None:
        self.plan, self.base, self.progress = plan, base, progress
        study, data = plan.study, plan.config.data
        self.metric = study.resolved_metric(data)
        self.wanted = (self.metric, *([KL] if study.pareto or study.kl_limit is not None else []))
        self.run: Run | None = None
        self._group: object = None
        self._parts: Parts | None = None

    def __call__(self, trial: Trial, stopped: Callable[[], bool]) -> bool:
        """Carry a run to its end and tell it to the study; False where it was stopped before.

        Raises:
            EveryRunError: before the first step: the model or the data can't be had, or the metric
                is not measured, and no other run has others.
            WorkbenchError: a run can't be gone on with, or its folder can't be written.
        """
        try:
            config = self.plan.run_config(trial.number, trial.params)
            record = Record(Path(str(config.out)))
            begun = (record.folder / "config.toml").exists()
            ended = record.ended() if begun else None
            if ended == "finished" or (ended == "stopped" and PRUNED in trial.user_attrs):
                for event in record.events():  # its process was killed before it could tell
                    self._report(trial, event)
                metrics = dict(record.summary() or {})
            else:
                self.run = self._open(config, begun)
                if not self._train(trial, self.run, stopped):
                    return False
                metrics = self.run.summary("")
            self._tell(trial, metrics)
        except Exception as error:
            number = getattr(error.__cause__ or error, "errno", None)
            if isinstance(error, SweepEndedError) or number in OF_THE_MACHINE:
                raise
            self._tell_failed(trial, error)
        finally:
            self.run = None
        return True

    def _open(self, config: TrainConfig, begun: bool) -> Run:
        if begun:
            return self._resume(str(config.out))
        if self._parts is None or self._group != group_of(config):
            self._parts = None  # first, for both may not fit into the memory
            try:
                self._parts = prepare_group(config, self.base, self.progress)
            except WorkbenchError as error:
                raise (EveryRunError(str(error)) if self.plan.alike else error) from error
            self._group = group_of(config)
        return start_run(self._parts, config)

    def _resume(self, folder: str) -> Run:
        try:  # a base is trained by the run that takes it
            run = Run.resume(folder, self.progress, base=copy.deepcopy(self.base))
        except WorkbenchError as error:
            again = f"remove {folder} to train it anew"
            raise SweepEndedError(f"a run can't go on: {error}; or {again}") from error
        if (scores := run._evaluator.scores) is not None:
            run._evaluator.scores = with_parsed_reward(scores)
        return run

    def _train(self, trial: Trial, run: Run, stopped: Callable[[], bool]) -> bool:
        for event in run:
            if stopped() or self._report(trial, event):
                run.control.stop()
            if isinstance(event, StepEvent) and self.progress is not None:
                number, total = trial.number + 1, self.plan.total
                self.progress(
                    f"run {number} of {total}", (number - 1 + event.step / event.total) / total
                )
        return run.step >= run.total or PRUNED in trial.user_attrs

    def _report(self, trial: Trial, event: Event) -> bool:
        """Whether the run is to be stopped at this event, as it falls behind."""
        if not isinstance(event, EvalEvent):
            return False
        self._check(event.metrics)
        if event.step == 0 or self.plan.study.prune == "none":
            return False
        pruned = trial.user_attrs.get(PRUNED)
        value = event.metrics[self.metric]
        known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        if pruned is None and event.step not in known and not math.isnan(value):
            trial.report(value, event.step)
            if trial.should_prune():
                trial.set_user_attr(PRUNED, pruned := event.step)
        return pruned is not None and event.step >= pruned

    def _check(self, metrics: Mapping[str, float]) -> None:
        missing = [name for name in self.wanted if name not in metrics]
        if not missing:
            return
        text = (
            f"{missing[0]} is not measured in these runs; there are: {', '.join(sorted(metrics))}"
        )
        raise (EveryRunError if self.plan.alike else WorkbenchError)(text)

    def _tell(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        study = self.plan.study
        found = {n: v for n, v in metrics.items() if n.startswith("held_out/")}
        outcome = {"metrics": found, "step": metrics["steps"], "seconds": metrics["seconds"]}
        trial.set_user_attr(OUTCOME, outcome)
        if PRUNED in trial.user_attrs:
            trial.study.tell(trial, state=TrialState.PRUNED)
            return
        values = [found[name] for name in self.wanted]
        if not all(map(math.isfinite, values)):
            raise WorkbenchError(f"{self.metric} is {values[0]} at the end")
        if study.kl_limit is not None and "kl" not in trial.constraints:
            trial.set_constraint("kl", found[KL] - study.kl_limit)
        trial.study.tell(trial, values if study.pareto else values[0])

    def _tell_failed(self, trial: Trial, error: Exception) -> None:
        kind = "" if isinstance(error, WorkbenchError) else f"{type(error).__name__}: "
        trial.set_user_attr(REASON, " ".join(f"{kind}{error}".split()))
        trial.study.tell(trial, state=TrialState.FAIL)
        if self.run is not None and self.run.record is not None:
            self.run.record.release()
