"""What DPO and the pipeline that it replaced take on SmolLM2: memory, seconds, models.

    python -m benchmarks.rlhf_costs [--rounds 2] [--results FOLDER]

A few steps of each, in a fresh process each, on the pairs that ship. PPO, GRPO and best-of-n
follow a reward model of the same pairs, which is trained first and counts as a row of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import workbench.__main__  # noqa: F401  sets what it wants of the environment; before torch
from benchmarks.contender import peak_memory_bytes
from benchmarks.report import RESULTS, save, show
from benchmarks.side_by_side import ContenderError, environment
from workbench.runs import prepare
from workbench.runs.reward.named_rewards import ModelReward
from workbench.runs.rlhf import frontier
from workbench.runs.rlhf.pipeline_costs import MEGABYTE, _megabytes, _optimizer_megabytes
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import StepEvent
from workbench.train.reference.values import cache_reference
from workbench.train.rollouts.rollout_batches import RolloutBatches

# Names as in the frontier; three of them follow the first.
METHODS = {
    "reward model": "reward_model",
    "DPO": "preference",
    "PPO": "ppo",
    "GRPO": "grpo",
    "best-of-n": "best_of_n",
}
MEASURED = tuple(METHODS)
STEPS, WARM = 12, 2  # of methods on given pairs, and how many of them warm up
ROLLOUT = 16  # completions; one rollout warms up
RECORDED = Path(frontier.__file__).parent


def _config(name: str, folder: str) -> TrainConfig:
    config = TrainConfig(
        model="smollm2", data="assistant", method=METHODS[name], held_out=0, samples=0,
        eval_every=0, max_steps=STEPS,
    )  # fmt: skip
    if name == "reward model":
        return replace(config, out=folder)
    if name == "DPO":
        return config
    return replace(config, reward=folder, rollout_size=ROLLOUT, max_steps=10**6)


def _steps(run: Run) -> tuple[float, int]:
    """Seconds and rows of the steps that count, to the end of the run."""
    begin = 0.0, 0
    for event in run:
        if isinstance(event, StepEvent) and event.step == WARM:
            begin = run._state.seconds, run._state.pairs
    return run._state.seconds - begin[0], run._state.pairs - begin[1]


def _rollouts(run: Run, rounds: int) -> tuple[float, int]:
    """Seconds and completions of the rollouts that count."""
    begin = 0.0
    for event in run:
        if not isinstance(event, StepEvent):
            continue
        done, left = divmod(event.step, run._batches.steps_per_rollout)  # type: ignore[attr-defined]
        if left == 0 and done == 1:
            begin = run._state.seconds
        if left == 0 and done == rounds + 1:
            break
    return run._state.seconds - begin, rounds * ROLLOUT


def measure(name: str, folder: str, rounds: int) -> dict[str, Any]:
    """One method in this process.

    Args:
        name: one of `MEASURED`.
        folder: of the reward model's run, which is written by that method and read by others.
        rounds: rollouts that count.
    """
    asked: list[float] = []

    def timed_reference(reference: Any, ordered: Any, shape: Any, _: Any, *rest: Any) -> Any:
        """Without the cache on the disk: the reference's pass counts."""
        begin = time.perf_counter()
        found = cache_reference(reference, ordered, shape, None, *rest)
        asked.append((time.perf_counter() - begin) / shape[0])
        return found

    with patch.object(prepare, "cache_reference", timed_reference):
        run = Run.create(_config(name, folder))
    rollouts = isinstance(run._batches, RolloutBatches)
    seconds, items = _rollouts(run, rounds) if rollouts else _steps(run)
    models = {"policy with value head" if name == "PPO" else "policy": run.policy}
    if rollouts:
        assert isinstance(run._batches.reward, ModelReward)
        models |= {"reference": run.reference.model, "reward model": run._batches.reward.model}
    return {
        "method": name,
        "models": ", ".join(models),
        "weights_mb": sum(map(_megabytes, models.values())),
        "optimizer_mb": _optimizer_megabytes(run),
        "peak_mb": peak_memory_bytes() / MEGABYTE,
        "unit": "completion" if rollouts else "pair",
        "items": items,
        "seconds_per_item": seconds / items + sum(asked),
        "precision": run.config.precision,
    }


def alone(name: str, folder: str, rounds: int) -> dict[str, Any]:
    """`measure` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.rlhf_costs", "--rounds", str(rounds)]
    found = subprocess.run(
        [*command, "--method", name, "--folder", folder],
        env=environment({}), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if found.returncode:
        raise ContenderError(f"{name} ended with exit code {found.returncode}, see above")
    return json.loads(found.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print and write the table, which the package ships."""
    import pandas as pd

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--pairs", help="not used: the pairs are those that ship")
    parser.add_argument("--method", choices=MEASURED)
    parser.add_argument("--folder")
    given = parser.parse_args()
    if given.method:
        print(json.dumps(measure(given.method, given.folder, given.rounds)))
        return
    with TemporaryDirectory() as folder:
        rows = [alone(name, f"{folder}/reward", given.rounds) for name in MEASURED]
    frame = pd.DataFrame(rows)
    show("SmolLM2 on the pairs that ship, a process for each method", frame)
    save(frame.round(3), given.results, "real_costs")
    if given.results == RESULTS:
        save(frame.round(3), RECORDED, "real_costs")


if __name__ == "__main__":
    main()
