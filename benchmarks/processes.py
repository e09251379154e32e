"""One run in several processes: is it the run of one, what survives a kill, what does it cost?

    python -m benchmarks.processes [equality] [resharding] [kills] [speed] [--seed N]

* equality: 50 steps of each method, unequal lengths and last batches of one row included, in one
  process and in two, by DDP and by FSDP2; the largest relative difference of a step's loss.
* resharding: a run that is killed on its way and goes on in another number of processes.
* kills: of two processes one is killed (SIGKILL) at a random instant; the run goes on.
* speed: two processes of one thread beside one process of two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

METHODS: dict[str, list[str]] = {
    "dpo": ["--loss", "dpo"],
    "dpo, live": ["--loss", "dpo", "--reference", "live"],
    "dpo, LoRA": ["--loss", "dpo", "--lora", "4"],
    "dpo, 3 passes a step, recomputed": ["--accumulate", "3", "--batch-size", "3", "--recompute"],
    "kto": ["--loss", "kto"],
    "simpo": ["--loss", "simpo"],
    "sft": ["--loss", "sft"],
    "reward_model": ["--method", "reward_model"],
    "ppo": ["--method", "ppo"],
    "grpo": ["--method", "grpo"],
}
STEPS = 50
# 121 pairs in batches of 8: the last batch of an epoch has one row, so a process has none.
COMMON = [
    "--model", "tiny", "--pairs", "121", "--held-out", "0", "--batch-size", "8", "--samples", "4",
    "--eval-every", "0", "--max-steps", str(STEPS), "--precision", "float32", "--device", "cpu",
    "--lr", "1e-4",
]  # fmt: skip
WAYS = {"ddp": 2, "fsdp": 2}
ALONE, DDP, FSDP = "1 process", "2, ddp", "2, fsdp"
HOW = {ALONE: (1, "ddp"), DDP: (2, "ddp"), FSDP: (2, "fsdp")}
CHECKPOINTS = ["--checkpoint-every", "5"]


def main() -> None:
    """The tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = {"equality": equality, "resharding": resharding, "kills": kills, "speed": speed}
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(tables))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name in given.names or tables:
        print(f"\n{name}\n", flush=True)
        with TemporaryDirectory() as folder:
            for row in tables[name](Path(folder), random.Random(given.seed)):
                print("| " + " | ".join(row) + " |", flush=True)


def command(out: Path, flags: Sequence[str], processes: int = 1, shard: str = "ddp") -> list[str]:
    """Begin a run, or go on with it."""
    begun = (out / "config.toml").exists()
    what = ["--resume", str(out)] if begun else [*COMMON, *flags, "--out", str(out)]
    several = ["--processes", str(processes), "--shard", shard] if processes > 1 else []
    return [sys.executable, "-m", "workbench", "train", *what, *several]


def run(out: Path, flags: Sequence[str], processes: int = 1, shard: str = "ddp") -> None:
    """To its end; raises with what it said where that is no good one."""
    done = subprocess.run(
        command(out, flags, processes, shard), env=surroundings(1), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{out.name} ended with {done.returncode}: {done.stderr[-2000:]}")


def surroundings(threads: int) -> dict[str, str]:
    """The environment of a process of so many threads."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def events(out: Path, kind: str) -> list[dict[str, Any]]:
    """The events of a kind."""
    lines = (out / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def largest_difference(one: Path, other: Path, metric: str = "loss") -> float:
    """Of a metric over all steps, as a share of its value.

    The losses of PPO and GRPO are small differences of large numbers, so there it is a share of
    the largest.
    """
    pairs = list(zip(events(one, "step"), events(other, "step"), strict=True))
    assert len(pairs) == STEPS
    values = [(a["metrics"][metric], b["metrics"][metric]) for a, b in pairs]
    largest = max(abs(a) for a, _ in values)
    signed = any(a < 0 for a, _ in values)
    return max(abs(a - b) / (largest if signed else abs(a)) for a, b in values)


def equality(folder: Path, _: random.Random) -> Iterator[list[str]]:
    """One row a method; for comparison one process whose passes are split, `--max-tokens 60`."""
    ways = {"split": 1, **WAYS}
    yield ["method", *(f"{way}, loss" for way in ways), *(f"{way}, gradient norm" for way in ways)]
    yield ["---", *["---:"] * (2 * len(ways))]
    for name, flags in METHODS.items():
        alone = folder / "one"
        run(alone, flags)
        found: dict[str, list[str]] = {"loss": [], "grad_norm": []}
        for way, processes in ways.items():
            split = ["--max-tokens", "60"] if way == "split" else []
            run(folder / way, [*flags, *split], processes, way)
            for metric, row in found.items():
                row.append(f"{largest_difference(alone, folder / way, metric):.1e}")
        yield [name, *found["loss"], *found["grad_norm"]]
        for path in folder.iterdir():
            shutil.rmtree(path)


def resharding(folder: Path, _: random.Random) -> Iterator[list[str]]:
    """One row a change of the number of processes, or of what each holds."""
    yield ["run", "before", "after", "loss", "answers of `sample`"]
    yield ["---", "---", "---", "---:", "---"]
    for flags in ([], ["--lora", "4"], ["--method", "ppo"]):
        whole = folder / "whole"
        run(whole, [*flags, *CHECKPOINTS])
        for before, after in ((FSDP, ALONE), (ALONE, FSDP), (DDP, FSDP), (FSDP, DDP)):
            out = folder / f"{before}-{after}".replace(" ", "-")
            kill_after(out, [*flags, *CHECKPOINTS], *HOW[before], STEPS // 2)
            run(out, flags, *HOW[after])
            same = "equal" if answers(out) == answers(whole) else "differ"
            name = " ".join(flags) or "dpo"
            yield [name, before, after, f"{largest_difference(whole, out):.1e}", same]
        for path in folder.iterdir():
            shutil.rmtree(path)


def kill_after(out: Path, flags: Sequence[str], processes: int, shard: str, step: int) -> None:
    """Begin a run and kill all of it once it has taken so many steps."""
    process = subprocess.Popen(
        command(out, flags, processes, shard), env=surroundings(1), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while steps_of(out) < step:
        if process.poll() is not None:
            raise RuntimeError(f"{out.name} ended too soon, with {process.returncode}")
        time.sleep(0.01)
    for child in children(process.pid):
        os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait()


def steps_of(out: Path) -> int:
    """How many steps a run has logged that may go on."""
    log = out / "events.jsonl"
    return log.read_text(encoding="utf-8").count('"event": "step"') if log.exists() else 0


def children(parent: int) -> list[int]:
    """The processes that train, of those that `--processes` started."""
    found = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def answers(out: Path) -> str:
    """What `sample` prints of a run."""
    asked = [sys.executable, "-m", "workbench", "sample", str(out), "--json", "--temperature", "0"]
    done = subprocess.run(asked, env=surroundings(1), capture_output=True, text=True, check=True)
    return done.stdout


def kills(folder: Path, rng: random.Random) -> Iterator[list[str]]:
    """One row a kill: which process, when, how the others ended, what the run was then."""
    yield ["way", "process", "killed after step", "all ended after", "went on from", "the run then"]
    yield ["---", "---:", "---:", "---:", "---:", "---"]
    for way in WAYS:
        whole = folder / f"whole-{way}"
        run(whole, CHECKPOINTS, 2, way)
        for number in range(5):
            out, rank = folder / f"{way}-{number}", rng.randrange(2)
            step = max(0, rng.randrange(-10, STEPS - 2))  # 0: before or in the first one
            process = subprocess.Popen(
                command(out, CHECKPOINTS, 2, way), env=surroundings(1),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            while len(children(process.pid)) < 2 or steps_of(out) < step:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.05 if step else 5))
            reached, killed = steps_of(out), time.monotonic()
            os.kill(sorted(children(process.pid))[rank], signal.SIGKILL)
            code = process.wait()
            took, went_on = time.monotonic() - killed, newest(out)
            run(out, CHECKPOINTS, 2, way)
            same = largest_difference(whole, out) == 0 and answers(whole) == answers(out)
            yield [
                way, str(rank), str(reached), f"{took:.1f} s, code {code}", went_on,
                "the same bit for bit" if same else "another",
            ]  # fmt: skip


def newest(out: Path) -> str:
    """The step of the newest checkpoint, or the beginning."""
    found = sorted((out / "checkpoints").glob("step-??????")) if out.exists() else []
    return str(int(found[-1].name.removeprefix("step-"))) if found else "the beginning"


SPEED = {
    "tiny": ["--model", "tiny", "--pairs", "400", "--max-steps", "60", "--batch-size", "16"],
    "smollm2": [
        "--model",
        "smollm2",
        "--data",
        "assistant",
        "--max-steps",
        "8",
        "--batch-size",
        "8",
    ],
}
FOR_SPEED = [
    "--held-out", "0", "--samples", "0", "--eval-every", "0", "--precision", "float32", "--device",
    "cpu", "--checkpoint-minutes", "0",
]  # fmt: skip
LAID_OUT = {  # threads, processes, and what each holds
    "1 process, 1 thread": (1, 1, "ddp"), "1 process, 2 threads": (2, 1, "ddp"),
    "2 processes, ddp": (1, 2, "ddp"), "2 processes, fsdp": (1, 2, "fsdp"),
}  # fmt: skip


def speed(folder: Path, _: random.Random) -> Iterator[list[str]]:
    """Rows per second of the median step, the best of some turns."""
    yield ["model", *LAID_OUT]
    yield ["---", *["---:"] * len(LAID_OUT)]
    for name, flags in SPEED.items():
        best = dict.fromkeys(LAID_OUT, 0.0)
        for _turn in range(3):
            for way, (threads, processes, shard) in LAID_OUT.items():
                out = folder / "run"
                asked = [sys.executable, "-m", "workbench", "train", *flags, *FOR_SPEED]
                asked += ["--out", str(out), "--processes", str(processes), "--shard", shard]
                subprocess.run(asked, env=surroundings(threads), check=True, capture_output=True)
                best[way] = max(best[way], median_rate(out, int(flags[-1])))
                shutil.rmtree(out)
        yield [name, *(f"{value:.1f} rows/s" for value in best.values())]


def median_rate(out: Path, size: int) -> float:
    """Rows per second of the median of all steps of `size` rows but the first."""
    rates = [event["metrics"]["pairs_per_second"] for event in events(out, "step")]
    clock = [(number + 1) * size / rate for number, rate in enumerate(rates)]
    return size / statistics.median(after - before for before, after in pairwise(clock))


if __name__ == "__main__":
    main()
