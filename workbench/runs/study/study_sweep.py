"""`Sweep`: many runs in one folder, an iterator of tables; whoever stops it can go on with it."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from workbench.data.seals import SEAL, is_sealed, sealed
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.folder.config_file import config_from_settings, naming, settings_of, write_text
from workbench.runs.folder.record import Record
from workbench.runs.study.axes import Axes, Range, checked_axes
from workbench.runs.study.config import TRIALS, StudyConfig
from workbench.runs.study.plan import Plan
from workbench.runs.study.study_journal import JOURNAL
from workbench.runs.study.study_table import (
    combinations_table,
    pareto_front,
    run_to_take,
    runs_table,
)
from workbench.runs.study.trial_run import EveryRunError, TrialRuns
from workbench.runs.study.trials import LOCKS, Trials
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig

FILE = "sweep.toml"


class Sweep:
    """Runs over every combination of some settings, or over those that a sampler draws.

    Iterate to train: after each run comes the table of all. Each run is an ordinary run's folder
    within the sweep's. Killed at any instant, the same call goes on; several processes may share
    the work by the same call.

    Args:
        config: what all runs have in common; `out` is the sweep's folder.
        over: a field of TrainConfig or of its world -> its values, or a `Range`.
        base: a loaded model, instead of the one that `config.model` names; it stays as it is.
        progress: called with what is being done and the share of all runs done, 0 to 1.
        study: fields of StudyConfig: sampler, trials, seeds, metric, direction, prune, kl_limit,
            pareto.

    Raises:
        WorkbenchError: at once, before anything is trained: an unknown field, no values, a value
            that no combination takes, or a folder that holds a run or another sweep.
    """

    def __init__(
        self,
        config: TrainConfig,
        over: Mapping[str, Any],
        base: Model | None = None,
        progress: Progress | None = None,
        **study: Any,
    ) -> None:
        if unknown := study.keys() - {part.name for part in fields(StudyConfig)}:
            accepted = ", ".join(part.name for part in fields(StudyConfig))
            raise WorkbenchError(f"{min(unknown)!r} is unknown; accepted: {accepted}")
        if config.out is None:
            raise WorkbenchError("out=None is not accepted: a sweep needs a folder")
        self.plan = Plan.of(config, checked_axes(over), StudyConfig(**study))
        self.folder = Path(config.out)
        self.metric = self.plan.study.resolved_metric(config.data)
        self.directions = self.plan.study.directions(config.data)
        self._base, self.progress = base, progress
        self.stopped = False
        _begin(self.folder, self.plan)
        self.trials = Trials(self.plan, self.folder)

    @classmethod
    def open(cls, folder: Path | str, base: Model | None = None) -> Sweep:
        """The sweep in a folder, to be read or gone on with.

        Raises:
            WorkbenchError: there is none, or it is damaged.
        """
        config, over, study = _read(Path(folder) / FILE)
        return cls(replace(config, out=str(folder)), over, base, **study)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        carry_out = TrialRuns(self.plan, self._base, self.progress)
        for taken in self.trials.take_all():
            try:
                done = carry_out(taken.trial, lambda: self.stopped)
            except EveryRunError:
                self._forget()
                raise
            if done:
                yield self.table()
            if self.stopped:
                return

    def stop(self) -> None:
        """End in good order after this step: the run that is under way keeps a checkpoint, and a
        new `Sweep` goes on."""
        self.stopped = True

    def table(self) -> pd.DataFrame:
        """All runs so far, see `runs_table`."""
        return runs_table(self.plan, self.trials.study)

    def combinations(self) -> pd.DataFrame:
        """All combinations so far, the best first, see `combinations_table`."""
        return combinations_table(self.plan, self.table())

    def best(self) -> pd.Series | None:
        """The run to take, see `run_to_take`."""
        return run_to_take(self.plan, self.table())

    def front(self) -> list[int]:
        """The runs that none surpasses in metric and KL, see `pareto_front`."""
        return pareto_front(self.plan, self.table())

    def _forget(self) -> None:
        """Remove what was written, where no run has come further than its first evaluation."""
        if len(found := self.trials.trials()) == 1:
            shutil.rmtree(self.plan.folder(0, found[0].params), ignore_errors=True)
            shutil.rmtree(self.folder / LOCKS)
            for name in (JOURNAL, FILE, ".lock"):
                (self.folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # it holds something else
                self.folder.rmdir()


def _begin(folder: Path, plan: Plan) -> None:
    """Write down what the sweep is; raise where the folder holds something else."""
    Record.refuse_existing(folder)
    path = folder / FILE
    over = {name: _plain(values) for name, values in plan.axes.items()}
    values = {
        "config": settings_of(replace(plan.config, out=None)),
        "over": {**over, "seed": list(plan.seeds)},
        "study": {n: v for n, v in asdict(plan.study).items() if v is not None and n != "seeds"},
    }
    if path.exists():
        _refuse_other(folder, there := _load(path), values)
        if there == values:
            return
    elif (folder / JOURNAL).exists():
        raise WorkbenchError(f"{path} is missing beside {JOURNAL}; choose another folder")
    with naming(path):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(path, tomli_w.dumps(sealed(values)))


def _plain(values: Any) -> Any:
    return {"low": values.low, "high": values.high} if isinstance(values, Range) else list(values)


def _refuse_other(folder: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise where a setting differs; more combinations to try are welcome."""
    for part, new in here.items():
        old = there.get(part, {})
        for name in {**old, **new}:
            was, now = old.get(name), new.get(name)
            if was != now and not (name == "trials" and (now or TRIALS) > (was or TRIALS)):
                raise WorkbenchError(
                    f"out={str(folder)!r} holds another sweep: {name} is {was!r} there and "
                    f"{now!r} here; give its flags to go on with it, or choose another folder"
                )


def _load(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        if SEAL not in values or not is_sealed(values):
            raise ValueError("it has another SHA-256")
    except FileNotFoundError:
        raise WorkbenchError(f"{path.parent} holds no sweep: {path.name} is not there") from None
    except (OSError, ValueError) as error:
        raise WorkbenchError(f"{path} is not as it was written: {error}") from error
    values.pop(SEAL)
    return values


def _read(path: Path) -> tuple[TrainConfig, Axes, dict[str, Any]]:
    values = _load(path)
    over: Axes = {
        name: Range(**found) if isinstance(found, dict) else tuple(found)
        for name, found in values["over"].items()
    }
    return config_from_settings(values["config"]), over, values["study"]
