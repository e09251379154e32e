"""Who takes which run of a sweep: none is lost when a process is killed, none is done twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from workbench.errors import WorkbenchError
from workbench.runs.folder.lock import refuse_held
from workbench.runs.study.axes import Axes, Range, in_ratios, kind_of
from workbench.runs.study.plan import Plan
from workbench.runs.study.study_journal import open_study, sampler_for

LOCKS = ".locks"  # one a run, held while a process works on it


@dataclass(frozen=True)
class TakenTrial:
    """A run that this process works on, until `lock` is released."""

    trial: Trial
    lock: FileLock


class Trials:
    """The runs of a sweep as Optuna's trials: run `n` of the plan is trial `n`."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        directions = plan.study.directions(plan.config.data)
        self.study, self._lock = open_study(folder, plan.study, directions)
        (folder / LOCKS).mkdir(exist_ok=True)
        self._distributions = _distributions(plan.axes)

    def take_all(self) -> Iterator[TakenTrial]:
        """One run after the other until nothing is left that nobody works on."""
        while (taken := self.take()) is not None:
            try:
                yield taken
            finally:
                taken.lock.release()

    def take(self) -> TakenTrial | None:
        """A run whose process has died, else the next one; None where nothing is left."""
        with self._lock:
            trials = self.trials()
            for one in trials:
                if one.state == TrialState.RUNNING and (lock := self._free(one)):
                    self._sample_as(one.number)
                    return self._complete(Trial(self.study, one._trial_id), lock)
            waiting = [one.number for one in trials if one.state == TrialState.WAITING]
            number = min(waiting, default=len(trials))
            if number >= self.plan.total:
                return None
            if not waiting and (fixed := self._fixed(number, trials)) is not None:
                self.study.enqueue_trial(fixed)
            lock = self._try_lock(number)
            assert lock is not None  # who held it has told how the run ended
            self._sample_as(number)
            return self._complete(self.study.ask(), lock)

    def trials(self) -> list[FrozenTrial]:
        """All that have begun, by their numbers."""
        return self.study.get_trials(deepcopy=False)

    def _complete(self, trial: Trial, lock: FileLock) -> TakenTrial:
        """Draw what has not been drawn yet."""
        for name, distribution in self._distributions.items():
            trial._suggest(name, distribution)
        return TakenTrial(trial, lock)

    def _sample_as(self, number: int) -> None:
        self.study.sampler = sampler_for(self.plan.study, self.plan.config.seed + number)

    def _fixed(self, number: int, trials: list[FrozenTrial]) -> dict[str, Any] | None:
        """The combination of a run that no sampler is asked for."""
        if (found := self.plan.combination(number)) is not None:
            return found
        first = self.plan.first_of(number)
        return trials[first].params if first < number else None

    def _free(self, trial: FrozenTrial) -> FileLock | None:
        """The lock of a run that nobody works on."""
        lock = self._try_lock(trial.number)
        if lock is not None and trial.params.keys() == self._distributions.keys():
            try:  # a worker on another machine may outlive who started it for some seconds
                refuse_held(self.plan.folder(trial.number, trial.params))
            except WorkbenchError:
                lock.release()
                return None
        return lock

    def _try_lock(self, number: int) -> FileLock | None:
        lock = FileLock(self.folder / LOCKS / f"{number:03d}", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock


def _distributions(axes: Axes) -> dict[str, BaseDistribution]:
    """What Optuna knows of the settings that are swept."""
    found: dict[str, BaseDistribution] = {}
    for name, values in axes.items():
        if not isinstance(values, Range):
            found[name] = CategoricalDistribution(values)
        elif kind_of(name) == "int":
            found[name] = IntDistribution(int(values.low), int(values.high))
        else:
            found[name] = FloatDistribution(values.low, values.high, log=in_ratios(name))
    return found
