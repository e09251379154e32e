"""Optuna's study in a sweep's folder: a journal of JSON lines, appended to by every process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from workbench.errors import WorkbenchError
from workbench.runs.folder.config_file import naming
from workbench.runs.study.config import Direction, StudyConfig

JOURNAL, NAME = "journal.jsonl", "sweep"


class JournalLock(JournalFileOpenLock):
    """A lock that dies with its holder, so that nobody waits for a process that was killed."""

    def __init__(self, path: Path) -> None:
        self.file = FileLock(path, thread_local=False)

    def acquire(self) -> bool:
        self.file.acquire()
        return True

    def release(self) -> None:
        self.file.release()


def open_study(
    folder: Path, config: StudyConfig, directions: list[Direction]
) -> tuple[optuna.Study, FileLock]:
    """The study in a folder, made where there is none, and the lock of its journal.

    Raises:
        WorkbenchError: the journal is damaged, or can't be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path, lock = folder / JOURNAL, JournalLock(folder / ".lock")
    with naming(path), lock.file:
        _drop_half_line(path)
        try:
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
            if not optuna.get_all_study_names(storage):
                optuna.create_study(storage=storage, study_name=NAME, directions=directions)
            study = optuna.load_study(study_name=NAME, storage=storage, pruner=_pruner(config))
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise WorkbenchError(
                f"{path} is damaged{_bad_line(path)}: remove it to begin anew, or take the runs "
                f"beside it one by one ({type(error).__name__}: {error})"
            ) from error
    return study, lock.file


def _drop_half_line(path: Path) -> None:
    """A line that a killed process did not finish would spoil the next one."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _bad_line(path: Path) -> str:
    """Where the first line stands that is no JSON object."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            if not isinstance(json.loads(line), dict):
                raise ValueError
        except ValueError:
            return f" in line {number}"
    return ""


def sampler_for(config: StudyConfig, seed: int) -> BaseSampler:
    """Of one trial: its draws depend on its own seed and on the trials before it, so that a sweep
    that was killed draws what it would have drawn."""
    if config.sampler == "tpe":
        return TPESampler(seed=seed, constant_liar=True)
    return RandomSampler(seed=seed)


def _pruner(config: StudyConfig) -> BasePruner:
    kinds: dict[str, Any] = {
        "none": NopPruner, "median": MedianPruner, "halving": SuccessiveHalvingPruner
    }  # fmt: skip
    return kinds[config.prune]()
