"""All benchmarks by name: what `python run.py bench` can do, and doing it."""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import generate, grpo
from benchmarks.against import choosing
from benchmarks.report import RESULTS, save, show_outcomes
from benchmarks.side_by_side import ContenderError, environment
from benchmarks.training import TRAININGS, run
from workbench.data.pairs import ASSISTANT
from workbench.errors import WorkbenchError
from workbench.runs.papers import PAPERS

HERE = Path(__file__).parent
Options = Callable[[argparse.Namespace], list[str]]
Measure = Callable[[argparse.Namespace], None]


@dataclass(frozen=True)
class Benchmark:
    """What is measured, about how many minutes that takes on two cores, and how to do it."""

    words: str
    minutes: float
    measure: Measure


def train(name: str, given: argparse.Namespace) -> None:
    """A workload of `training.py`."""
    workload = TRAININGS[name]
    frame = run(name, workload, given.pairs, given.rounds, given.choose)
    show_outcomes(workload.title, frame)
    save(frame, _results(given), name)


def answer(given: argparse.Namespace) -> None:
    """Generation; one table for each batch size and precision."""
    frame = generate.run(given.rounds, given.choose)
    for name, part in frame.groupby("workload", sort=False):
        show_outcomes(f"{generate.TITLE}: {name}", part)
    save(frame, _results(given), "generate")


def grpo_rounds(given: argparse.Namespace) -> None:
    """GRPO, rollouts included."""
    frame = grpo.run(given.rounds)
    show_outcomes(grpo.TITLE, frame)
    save(frame, _results(given), "grpo")


def _results(given: argparse.Namespace) -> Path:
    return RESULTS / "against" if given.against else RESULTS


def alone(*program: str, options: Options = lambda given: []) -> Measure:
    """A benchmark in a process of its own, so that none warms up or slows down another."""

    def measure(given: argparse.Namespace) -> None:
        command = [sys.executable, *program, *options(given)]
        if code := subprocess.call(command, env=environment({})):
            raise ContenderError(f"{' '.join(program)} ended with exit code {code}, see above")

    return measure


def _rounds_and_pairs(given: argparse.Namespace) -> list[str]:
    rounds = ["--rounds", str(given.rounds)] if given.rounds else []
    return ["--pairs", given.pairs, *rounds]


def _pairs(given: argparse.Namespace) -> list[str]:
    return [given.pairs, *(["--held-out", "30"] if given.pairs == ASSISTANT else [])]


def _module(name: str) -> Measure:
    return alone("-m", f"benchmarks.{name}", options=_rounds_and_pairs)


def _script(name: str, options: Options = lambda given: []) -> Measure:
    return alone(str(HERE / name), options=options)


BENCHMARKS = {
    "startup": Benchmark("how soon command line and core are there", 0.5, _module("startup")),
    "tiny_world": Benchmark("fresh process to trained policy", 1, _script("tiny_world.py")),
    "tiny": Benchmark("training beside x-transformers", 2, partial(train, "tiny")),
    "short": Benchmark("training beside TRL, short pairs", 6, partial(train, "short")),
    "short_4": Benchmark("the same, 4 at a time", 6, partial(train, "short_4")),
    "long_prompts": Benchmark("the same, long prompts", 8, partial(train, "long_prompts")),
    "long_answers": Benchmark("the same, long answers", 8, partial(train, "long_answers")),
    "simpo": Benchmark("short pairs by SimPO, beside TRL", 6, partial(train, "simpo")),
    "orpo": Benchmark("short pairs by ORPO, beside TRL", 6, partial(train, "orpo")),
    "kto": Benchmark("short pairs by KTO, beside TRL", 6, partial(train, "kto")),
    "simpo_long": Benchmark("SimPO on long prompts", 8, partial(train, "simpo_long")),
    "lora": Benchmark("adapters beside TRL with peft", 5, partial(train, "lora")),
    "generate": Benchmark("generation beside transformers", 5, answer),
    "grpo": Benchmark("GRPO on the tiny model beside TRL", 3, grpo_rounds),
    "rollouts": Benchmark("how fast methods write, parts of a run", 6, _module("rollouts")),
    "rlhf": Benchmark("reward against KL, reward hacking", 40, alone("-m", "benchmarks.rlhf")),
    "rlhf_costs": Benchmark("DPO and RLHF on SmolLM2", 5, _module("rlhf_costs")),
    "growth": Benchmark("time over the size of data and rows", 4, _module("growth")),
    "large_data": Benchmark("what a million rows cost", 15, _module("large_data")),
    "utilisation": Benchmark("share of the peak, parts of a step", 4, _module("utilisation")),
    "gpu": Benchmark("one GPU: beside TRL, each path switched off", 8, _module("gpu")),
    "real_model": Benchmark("a whole run of SmolLM2", 3, _script("real_model.py", _pairs)),
    "dashboard": Benchmark("what drawing costs, how soon it obeys", 4, _script("dashboard.py")),
    "answers": Benchmark("a hundred answers of two tiny models", 0.5, _script("answers.py")),
    "kl": Benchmark("KL per position beside log-ratios", 3, alone("-m", "benchmarks.kl")),
    "sliders": Benchmark("how soon a moved slider has its picture", 0.5, _script("sliders.py")),
    "doctor": Benchmark("faults that the doctor names, false alarms", 20, _module("doctor")),
    "faults": Benchmark(
        "kills, and damaged runs, models, votes and data", 45, alone("-m", "benchmarks.faults")
    ),
    "sweeps": Benchmark(
        "what a sweep costs beside its runs, kills", 15, alone("-m", "benchmarks.sweeps")
    ),
    "processes": Benchmark(
        "one run in two processes: equal, resumed, killed", 30, alone("-m", "benchmarks.processes")
    ),
    "traffic": Benchmark(
        "what processes send each other, here and on GPUs", 2, alone("-m", "benchmarks.traffic")
    ),
    "papers": Benchmark(
        "published results in miniature",
        9,
        alone("-m", "benchmarks.papers", options=lambda given: given.papers),
    ),
}
BESIDE_PEERS = (*TRAININGS, "generate")  # what --against and --no-peers are for


def arguments(given: list[str]) -> argparse.Namespace:
    """The command line, checked before anything starts."""
    listed = "\n".join(f"  {name:13} {what.words}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python run.py bench",
        description=f"Measure the workbench, alone and beside its peers.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    papers = ", ".join(PAPERS)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"left out: all of the above; after papers, some of {papers}",
    )
    parser.add_argument(
        "--rounds", type=_rounds, metavar="N", help="rounds that count; each has its default"
    )
    parser.add_argument(
        "--pairs",
        default=ASSISTANT,
        metavar="FILE",
        help=f"left out: {ASSISTANT}, which is shipped",
    )
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help="the workbench at another commit, or in the folder of another checkout, takes part in "
        f"{', '.join(BESIDE_PEERS)}",
    )
    parser.add_argument(
        "--no-peers", dest="peers", action="store_false", help="there, other libraries don't"
    )
    found = parser.parse_args(given)
    found.papers = []
    if found.names[:1] == ["papers"]:
        found.names, found.papers = ["papers"], found.names[1:]
        if unknown := [name for name in found.papers if name not in PAPERS]:
            parser.error(f"unknown: {', '.join(unknown)}; accepted: {papers}")
    accepted = BESIDE_PEERS if found.against or not found.peers else tuple(BENCHMARKS)
    if unknown := [name for name in found.names if name not in accepted]:
        parser.error(f"unknown: {', '.join(unknown)}; accepted: {', '.join(accepted)}")
    found.names = found.names or list(accepted)
    return found


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: a whole number from 1")
    return int(text)


def main(given: list[str]) -> int:
    """Measure what was asked for."""
    asked = arguments(given)
    minutes = sum(BENCHMARKS[name].minutes for name in asked.names)
    print(f"{', '.join(asked.names)}: about {math.ceil(minutes)} min on two cores.", flush=True)
    try:
        with choosing(asked.against, asked.peers) as asked.choose:
            return measure_all(asked)
    except ContenderError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1


def measure_all(asked: argparse.Namespace) -> int:
    """One that fails doesn't keep the others from their turn; returns the exit code."""
    failed = []
    for name in asked.names:
        print(f"\n== {name}: {BENCHMARKS[name].words}", flush=True)
        try:
            BENCHMARKS[name].measure(asked)
        except (ContenderError, WorkbenchError) as error:
            failed.append(name)
            print(f"error: {error}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("\nInterrupted.", file=sys.stderr)
            return 130
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0
