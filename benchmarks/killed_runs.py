"""Runs killed at random instants: is any lost, and do they end bit for bit as if nothing had been?

    python -m benchmarks.faults kills [--count N] [--seed N]

Each run is a process of its own that is killed (SIGKILL) after a random time, resumed, perhaps
killed again, and so on to its end. Its weights, events and summary are compared with those of the
same run left in peace. Methods, adapters and how often a checkpoint is made change from run to run.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.small_runs import differences, go, make_inputs, outcome

KINDS: tuple[dict[str, Any], ...] = (
    {"loss": "dpo"},
    {"loss": "simpo", "checkpoint_every": 1},
    {"method": "kto"},
    {"method": "sft", "checkpoint_every": 2},
    {"method": "reward_model"},
    {"loss": "dpo", "lora": 2},
    {"method": "grpo", "reward": "short", "rollout_size": 16, "group_size": 4, "max_steps": 8},
    {"method": "ppo", "reward": "short", "rollout_size": 16, "max_steps": 8},
)
LONGEST = 60.0  # seconds in which a process has to end


def run(kills: int, seed: int, tell: Callable[[str], None]) -> int:
    """The number of runs that were lost or ended in another way; each is told."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["benchmarks.small_runs"])
    rng, done, runs, bad = random.Random(seed), 0, 0, 0
    with TemporaryDirectory() as name:
        inputs = Path(name)
        make_inputs(inputs)
        whole = {}
        for number, changes in enumerate(KINDS):
            folder, begin = inputs / f"whole-{number}", time.monotonic()
            _wait(_start(processes, inputs, folder, changes))
            whole[number] = outcome(folder), time.monotonic() - begin
        while done < kills:
            number = runs % len(KINDS)
            folder = inputs / f"killed-{runs}"
            problem = ""
            while not (folder / "summary.json").exists() and not problem:
                process = _start(processes, inputs, folder, KINDS[number])
                if done < kills and rng.random() < 0.8:
                    process.join(rng.uniform(0, whole[number][1]))
                    if process.is_alive():
                        os.kill(process.pid or 0, signal.SIGKILL)
                        done += 1
                    process.join()
                problem = problem or _wait(process)
            if not problem and (parts := differences(outcome(folder), whole[number][0])):
                problem = f"other {', '.join(parts)}"
            runs, bad = runs + 1, bad + bool(problem)
            if problem:
                tell(f"{KINDS[number]}, run {runs}: {problem}")
    tell(f"{done} kills in {runs} runs: {bad} lost or ended in another way")
    return bad


def _start(
    processes: ForkServerContext, inputs: Path, folder: Path, changes: dict[str, Any]
) -> multiprocessing.process.BaseProcess:
    process = processes.Process(target=go, args=(str(inputs), str(folder), changes))
    process.start()
    return process


def _wait(process: multiprocessing.process.BaseProcess) -> str:
    """What went wrong in a process that was not killed; empty where nothing did."""
    process.join(LONGEST)
    if process.is_alive():
        process.kill()
        return f"has not ended after {LONGEST:g} s"
    return "" if process.exitcode in (0, -signal.SIGKILL) else f"exit code {process.exitcode}"
