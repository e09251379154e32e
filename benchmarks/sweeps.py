"""Sweeps: what one costs beside its bare runs, and whether one that is killed ends the same.

    python run.py bench sweeps
    python -m benchmarks.sweeps [--kills N] [--seed N]

Killed are processes that train a sweep, by SIGKILL at a random instant, one after the other until
one of them ends; where two share the runs, the other one is left alone. Then every run has to be
there once, with the weights and numbers of a sweep that nobody killed.
Needs `os.fork`, which Windows lacks.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from optuna.trial import TrialState

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.data.seals import file_digest
from workbench.models.load import Model
from workbench.runs.folder.checkpoint_files import POLICY
from workbench.runs.run import Run
from workbench.runs.study.study_sweep import Sweep
from workbench.runs.sweep import opened
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig

WORLD = ReviewsConfig(topics=4, pairs=64)
CONFIG = TrainConfig(
    world=WORLD, max_steps=12, batch_size=4, lr=1e-3, held_out=16, samples=4, max_new_tokens=8,
    eval_every=4, checkpoint_every=3,
)  # fmt: skip
GRID = {"beta": [0.05, 0.1, 0.5], "loss": ["dpo", "ipo"]}
# Name, what is swept, by which means. Seeds make runs that share no data.
KILLED: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("grid", GRID, {"seeds": 2}),
    ("tpe, median", GRID, {"sampler": "tpe", "trials": 12, "prune": "median"}),
)
ROUNDS = 5
TITLES = (
    "processes",
    "killed",
    "sweeps",
    "runs",
    "lost",
    "doubled",
    "not equal",
    "steps",
    "done again",
)


def small_model() -> Model:
    """Of some thousand weights, not trained."""
    shape = BaseConfig(dim=32, layers=1, heads=2, kv_heads=1, hidden_dim=64)
    return new_model(Reviews(WORLD), shape)


# -- overhead ---------------------------------------------------------------------------------


def overhead() -> None:
    """Milliseconds of processor time per run of 12 steps, beside the same runs in a bare loop."""
    base = small_model()
    taken: dict[str, list[float]] = {
        "bare loop, shared data": [],
        "sweep": [],
        "each by itself": [],
    }
    for _ in range(ROUNDS):
        for name, job in (
            ("bare loop, shared data", _bare), ("sweep", _swept), ("each by itself", _by_itself),
        ):  # fmt: skip
            with TemporaryDirectory() as folder:
                begun = time.process_time()
                count = job(replace(CONFIG, out=folder), base)
                taken[name].append(1e3 * (time.process_time() - begun) / count)
    print(f"\nprocessor time per run of {CONFIG.max_steps} steps, median of {ROUNDS} rounds")
    for name, times in taken.items():
        print(
            f"  {name:24} {statistics.median(times):7.1f} ms  {min(times):.1f} to {max(times):.1f}"
        )


def _plans(config: TrainConfig) -> list[TrainConfig]:
    plan = Sweep(config, GRID, seeds=2).plan
    numbers = range(plan.total)
    found = [plan.run_config(n, plan.combination(n) or {}) for n in numbers]
    return [replace(one, out=f"{config.out}/bare-{n}") for n, one in enumerate(found)]


def _bare(config: TrainConfig, base: Model) -> int:
    return sum(len(list(run)) > 0 for _, run in opened(_plans(config), base))


def _by_itself(config: TrainConfig, base: Model) -> int:
    for one in (plans := _plans(config)):
        list(Run.create(one, base=small_model()))
    return len(plans)


def _swept(config: TrainConfig, base: Model) -> int:
    return len(list(Sweep(config, GRID, base, seeds=2)))


def growth() -> None:
    """Milliseconds to take and tell a run, when some have been done."""
    with TemporaryDirectory() as folder:
        config = TrainConfig(out=folder)
        sweep = Sweep(config, {"seed": list(range(500)), "beta": [0.1]})
        begun, times = time.perf_counter(), []
        for taken in sweep.trials.take_all():
            sweep.trials.study.tell(taken.trial, 0.5, state=TrialState.COMPLETE)
            times.append(1e3 * (time.perf_counter() - begun))
            begun = time.perf_counter()
        print("\nto take and tell one run, wall time, median of the 50 runs before")
        for count in (50, 100, 200, 500):
            print(f"  {count:4} runs  {statistics.median(times[count - 50 : count]):6.1f} ms")
        begun = time.perf_counter()
        sweep.table()
        print(f"  table of 500 runs {1e3 * (time.perf_counter() - begun):.0f} ms")


# -- kills ------------------------------------------------------------------------------------


def job(folder: Path, over: dict[str, Any], study: dict[str, Any]) -> Callable[[], None]:
    """Train what is left of a sweep, and note every step."""

    def train() -> None:
        with (folder / "steps.txt").open("ab", buffering=0) as file:

            def note(text: str, share: float) -> None:
                file.write(f"{text}\n".encode())

            list(Sweep(replace(CONFIG, out=str(folder)), over, small_model(), note, **study))

    return train


def forked(train: Callable[[], None]) -> int:
    """The process that does it."""
    if child := os.fork():
        return child
    torch.set_num_threads(1)
    code = 1
    try:
        train()
        code = 0
    finally:
        os._exit(code)


def kill_until_done(train: Callable[[], None], seconds: float, shared: bool) -> int:
    """Kill one process after the other until one ends; how many were killed. Where the sweep is
    shared, another process goes on meanwhile."""
    others, killed = [forked(train)] if shared else [], 0
    while True:
        child = forked(train)
        time.sleep(random.uniform(0.05, 0.7) * seconds)
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1
    for other in others:
        os.waitpid(other, 0)
    return killed


def outcome(folder: Path) -> dict[str, Any]:
    """What a sweep came to: its table without times, and the weights of every run."""
    table = Sweep.open(folder).table()
    weights = {}
    for path in table["folder"]:
        last = sorted(Path(path).glob("checkpoints/step-*"))[-1]
        weights[Path(path).name] = file_digest(last / POLICY)
    told = json.loads(table.drop(columns=["seconds", "folder"]).to_json(orient="records"))
    return {"table": told, "weights": weights}


def told_twice(folder: Path) -> int:
    """Runs whose end stands more than once in the journal, and settings that came twice."""
    lines = map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
    ends = Counter(
        one["trial_id"] for one in lines if one["op_code"] == 6 and one["state"] in (1, 2, 3)
    )
    return sum(count - 1 for count in ends.values())


def kills(count: int) -> None:
    """Kill until `count` processes have been killed, as many in each kind of sweep."""
    print(f"\n{'sweep':13}" + "".join(f"{title:>11}" for title in TITLES))
    for name, over, study in KILLED:
        for shared in (False, True):
            found = _killed(over, study, shared, count // (2 * len(KILLED)))
            print(f"{name:13}" + "".join(f"{found[title]:11}" for title in TITLES), flush=True)


def _killed(over: dict[str, Any], study: dict[str, Any], shared: bool, count: int) -> Counter[str]:
    with TemporaryDirectory() as text:
        whole = Path(text) / "whole"
        whole.mkdir()
        begun = time.perf_counter()
        os.waitpid(forked(job(whole, over, study)), 0)
        seconds, wanted = time.perf_counter() - begun, outcome(whole)
        found = Counter(processes=1 + shared)
        while found["killed"] < count:
            folder = Path(text) / f"killed-{found['sweeps']}"
            folder.mkdir()
            found["killed"] += kill_until_done(job(folder, over, study), seconds, shared)
            ended = outcome(folder)
            done = [row for row in ended["table"] if row["state"] in ("finished", "pruned")]
            found["sweeps"] += 1
            found["runs"] += (runs := len(wanted["table"]))
            found["lost"] += runs - len(done)
            found["doubled"] += told_twice(folder) + len(ended["table"]) - runs
            # Two processes that share a search see each other's runs at other instants.
            found["not equal"] += ended != wanted and not (shared and "prune" in study)
            found["steps"] += steps(whole)
            found["done again"] += steps(folder) - steps(whole)
        return found


def steps(folder: Path) -> int:
    """Steps that were trained, those that were lost and done again included."""
    lines = (folder / "steps.txt").read_text().splitlines()
    return sum(line.startswith("run ") for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    random.seed(asked.seed)
    torch.set_num_threads(1)
    overhead()
    growth()
    kills(asked.kills)


if __name__ == "__main__":
    main()
