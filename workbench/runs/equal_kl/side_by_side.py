"""The missing runs of a comparison, trained in several processes.

Processes share nothing but the folder: settings go in, rows come out as files. A script that starts
them needs `if __name__ == "__main__":` around what it does, because each process imports it again.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import groupby
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import torch

from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.equal_kl.planned_runs import PlannedRun, train
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.precision import is_large, pick_device

Job = tuple[list[PlannedRun], TrainConfig]
LOOK = 0.5  # seconds between two looks at what is finished
_stop: Any = None  # in a process that trains: the event that ends it


def default_processes(config: TrainConfig, model: Model) -> int:
    """One per core for a small model; a large one or a GPU is used by one process."""
    if pick_device(config.device) != "cpu" or is_large(model.policy):
        return 1
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def train_missing(
    runs: Sequence[PlannedRun],
    config: TrainConfig,
    folder: Path,
    processes: int,
    progress: Progress,
) -> None:
    """Train the runs that have no file in `folder` yet.

    Raises:
        WorkbenchError: of a run, or where a process ended without a word.
    """
    missing = [run for run in runs if not (folder / run.file).exists()]
    jobs = _jobs(missing, config, processes)

    def tell() -> None:
        done = sum((folder / run.file).exists() for run in runs)
        progress(f"{done} of {len(runs)} runs", done / len(runs))

    tell()

    if processes == 1 or len(jobs) == 1:
        for job in jobs:
            for _ in train(*job, folder, lambda: False):
                tell()
    elif jobs:
        _in_processes(jobs, folder, min(processes, len(jobs)), tell)


def _jobs(missing: Sequence[PlannedRun], config: TrainConfig, processes: int) -> list[Job]:
    """Runs of one seed each, and fewer of them where there would not be a job per process."""
    most = -(-len(missing) // processes)
    jobs: list[Job] = []
    for seed, group in groupby(missing, lambda run: run.config.seed):
        alike, shared = list(group), replace(config, seed=seed, out=None)
        starts = range(0, len(alike), most)
        jobs += [(alike[start : start + most], shared) for start in starts]
    return jobs


def _in_processes(jobs: list[Job], folder: Path, processes: int, tell: Any) -> None:
    context = get_context("spawn")
    stop = context.Event()
    threads = max(1, torch.get_num_threads() // processes)
    with ProcessPoolExecutor(processes, context, _begin, (stop, threads)) as pool:
        waiting: set[Future[None]] = {pool.submit(_train, job, folder) for job in jobs}
        try:
            while waiting:
                finished, waiting = wait(waiting, LOOK, FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                tell()
        except BrokenProcessPool as error:
            raise WorkbenchError(
                "a process that trained ended without a word, perhaps for lack of memory; a script "
                'needs `if __name__ == "__main__":` around its calls; processes=1 uses none'
            ) from error
        finally:
            # Also on Ctrl-C: those that still train end with their step, and drop their run.
            stop.set()
            pool.shutdown(cancel_futures=True)


def _begin(stop: Any, threads: int) -> None:
    """What a process does first. Ctrl-C reaches it as well, and is left to the one that waits."""
    global _stop
    _stop = stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End this process where the one that waits was killed: nobody would ever end it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # rows are written in one step, so no half of a file is left


def _train(job: Job, folder: Path) -> None:
    for _ in train(*job, folder, _stop.is_set):
        pass
