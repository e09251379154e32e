"""The runs of a sweep on a Ray cluster: each worker takes one run after the other, as any process
that shares the sweep does, so all of them must see its folder.

A worker that is killed is started again by Ray, and its run goes on from its last checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.errors import WorkbenchError
from workbench.models.optional import optional
from workbench.runs.study.study_sweep import Sweep

KILLED = 20  # how often a worker may be killed before the sweep ends
PAUSE = 1.0  # seconds between two looks at what has been done


def sweep_on_ray(sweep: Sweep, workers: int | None = None) -> Iterator[pd.DataFrame]:
    """Train on the cluster that RAY_ADDRESS names, or on one that is started on this machine.

    Args:
        sweep: what is to be done.
        workers: runs side by side; left out, one per GPU of the cluster, else one per core.

    Yields:
        The table of all runs whenever one has ended, see `runs_table`.

    Raises:
        WorkbenchError: ray is not installed, no cluster answers, or the workers keep dying.
    """
    ray = import_ray()
    try:
        ray.init(
            include_dashboard=False, log_to_driver=False, logging_level="error",
            ignore_reinit_error=True,
        )  # fmt: skip
    except Exception as error:  # what Ray raises where it doesn't start has no class of its own
        raise WorkbenchError(f"Ray does not start: {' '.join(str(error).split())}") from error
    try:
        yield from _tables(ray, sweep, workers)
    except ray.exceptions.WorkerCrashedError as error:
        raise WorkbenchError(f"workers were killed {KILLED} times: {error}") from error


def import_ray() -> Any:
    """The package; raises WorkbenchError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    return optional("ray", "scale")


def _tables(ray: Any, sweep: Sweep, workers: int | None) -> Iterator[pd.DataFrame]:
    found = ray.cluster_resources()
    gpus = int(found.get("GPU", 0))
    count = min(workers or gpus or int(found.get("CPU", 1)), sweep.plan.total)
    work = ray.remote(num_cpus=1, num_gpus=int(gpus > 0), max_retries=KILLED)(_work)
    tasks = [work.remote(str(sweep.folder.resolve())) for _ in range(count)]
    ended = -1
    while tasks:
        done, tasks = ray.wait(tasks, timeout=PAUSE)
        try:
            ray.get(done)
        except ray.exceptions.RayTaskError as error:
            _cancel(ray, tasks)
            raise error.cause from None
        table = sweep.table()
        if (now := int((table["state"] != "begun").sum())) > ended:
            ended = now
            if sweep.progress is not None:
                sweep.progress(f"{now} of {sweep.plan.total} runs", now / sweep.plan.total)
            yield table
        if sweep.stopped:
            _cancel(ray, tasks)
            return


def _cancel(ray: Any, tasks: list[Any]) -> None:
    """What they are doing goes on from its last checkpoint another time."""
    for task in tasks:
        ray.cancel(task)
    if tasks:
        ray.wait(tasks, num_returns=len(tasks), timeout=30)


def _work(folder: str) -> None:
    """What a worker does."""
    for _ in Sweep.open(folder):
        pass
