"""What DPO on the real model takes on this machine: time, memory, held-out accuracy.

    python benchmarks/real_model.py FILE [--epochs 2] [--held-out 60]

FILE is a preference file; "assistant" is the one that ships. One fresh process loads the model
twice (the second time is the one that counts), trains, and prints one line an evaluation.
"""

from __future__ import annotations

import argparse
import time

from workbench.models.load import load_model
from workbench.models.smollm2 import fetch_smollm2
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, StepEvent
from workbench.train.precision import peak_memory_bytes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--held-out", type=int, default=60)
    given = parser.parse_args()

    fetch_smollm2()
    begin = time.perf_counter()
    model = load_model("smollm2")
    print(f"loading: {time.perf_counter() - begin:.1f} s")

    begin = time.perf_counter()
    config = TrainConfig(
        model="smollm2", data=given.file, epochs=given.epochs, held_out=given.held_out
    )
    run = Run.create(config, base=model)
    print(
        f"pairs, reference, cache: {time.perf_counter() - begin:.1f} s ({run.config.precision}, "
        f"{len(run.data.train)} + {len(run.data.held_out)} pairs, {len(run.skipped)} skipped)"
    )

    begin, epoch_at = time.perf_counter(), None
    for event in run:
        now = time.perf_counter() - begin
        if isinstance(event, EvalEvent):
            found = event.metrics
            print(
                f"step {event.step:3} at {now:5.1f} s: held-out accuracy "
                f"{found['held_out/rewards/accuracies']:.3f}, margin "
                f"{found['held_out/rewards/margins']:.3f}, log-ratios chosen "
                f"{found['held_out/logratios/chosen']:+.2f} rejected "
                f"{found['held_out/logratios/rejected']:+.2f}",
                flush=True,
            )
        elif isinstance(event, StepEvent) and event.step == run.total // given.epochs:
            epoch_at = now
            rate = event.metrics["pairs_per_second"]
            print(f"first epoch: {now:.1f} s with evaluations, {rate:.1f} pairs/s in steps")
    assert epoch_at is not None
    print(f"peak memory of the process: {peak_memory_bytes() / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
