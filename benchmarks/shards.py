"""What each of two processes holds while a sharded run is made.

    python -m benchmarks.shards [--model smollm2]

Resident memory, MB, of each process: when it has joined the others; at most until it holds its
shards of the policy and of the frozen copy; and then. No step is taken. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import pandas as pd

from benchmarks.large_data import forget_peak, memory
from benchmarks.report import show


class MadeError(Exception):
    """The process holds its shards."""


def child(model: str) -> None:
    """One of the processes; prints a row."""
    import workbench.__main__  # noqa: F401  sets what it wants of the environment; before torch
    from workbench.runs.run import Run
    from workbench.train import distributed
    from workbench.train.config import TrainConfig
    from workbench.train.reference.start_model import Shared

    make, found = Shared.of, dict[str, Any]()

    def measured(*args: Any) -> Any:
        shared = make(*args)
        found["at most"], found["then"] = memory("VmHWM") / 1e6, memory("VmRSS") / 1e6
        raise MadeError(shared)

    config = TrainConfig(
        model=model, data="assistant", shard="fsdp", precision="float32", device="cpu"
    )
    with distributed.joined(print):
        found["process"], found["joined"] = distributed.rank(), memory("VmRSS") / 1e6
        forget_peak()
        try:
            with patch.object(Shared, "of", measured):
                Run.create(config)
        except MadeError:
            print(json.dumps(found), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--child", action="store_true")
    given = parser.parse_args()
    if given.child:
        child(given.model)
        return
    program = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    said = subprocess.run(
        [sys.executable, *program, "-m", "benchmarks.shards", "--child", "--model", given.model],
        stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    ).stdout  # fmt: skip
    rows = sorted((json.loads(line) for line in said.splitlines()), key=lambda row: row["process"])
    show("Memory, MB, of each process of a sharded run", pd.DataFrame(rows))


if __name__ == "__main__":
    main()
