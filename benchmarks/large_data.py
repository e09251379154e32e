"""What a large file costs: making its cache, memory, and how soon training starts from the cache.

    python -m benchmarks.large_data [--rows 1000 10000 ...] [--rounds 1] [--results FOLDER]

Rows of words drawn by Zipf's law are written to Parquet, some 50 tokens a prompt and 70 a
completion. The model is a decoder of a million parameters with a byte-level tokenizer of 16,000
tokens. Each figure comes from a process of its own:

make    tokenises the file; seconds, bytes of the cache, and by how much the process grew at most
start   trains from the cache that is there; seconds from the start of Python to the first step,
        held-out evaluation included, and by how much the process grew from where the model was
        loaded to the 50th step; with 1,000 rows, that is what training itself takes

Seconds of a processor, over all threads, are told beside those of the clock: they are the same on a
machine that is busy with other work. Memory is `VmHWM` of /proc, which counts pages of files that
are mapped, so this runs on Linux. Every size is read as a large one, also those that a run would
hold in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pandas as pd
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from benchmarks.report import RESULTS, save, show

SIZES = (1_000, 10_000, 100_000, 1_000_000)
STEPS = 50
WORDS, VOCABULARY = 30_000, 16_000


def rows_of(count: int) -> Iterator[dict[str, str]]:
    """Preference pairs of words; no two prompts are the same."""
    draw = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (place + 5) for place in range(WORDS)))

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, cum_weights=weights, k=draw.randint(least, most)))

    for number in range(count):
        prompt = f"{text(5, 55)} {number}?"
        yield {"prompt": prompt, "chosen": text(5, 75) + ".", "rejected": text(5, 75) + "."}


def write_parquet(path: Path, count: int, group: int = 50_000) -> None:
    """`rows_of` in groups, none of which is held longer than it is written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = rows_of(count)
    schema = pa.schema([(name, pa.string()) for name in ("prompt", "chosen", "rejected")])
    with pq.ParquetWriter(path, schema) as file:
        for start in range(0, count, group):
            part = [next(rows) for _ in range(min(group, count - start))]
            file.write_table(pa.Table.from_pylist(part, schema))


def write_model(folder: Path) -> None:
    """A small decoder of random weights with a tokenizer that knows such words."""
    from workbench.core.transformer import Transformer, TransformerConfig
    from workbench.data.tokenizer import Tokenizer
    from workbench.models.load import Model, save_model

    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["</s>"], initial_alphabet=alphabet,
        show_progress=False,
    )  # fmt: skip
    backend.train_from_iterator((text for row in rows_of(20_000) for text in row.values()), trainer)
    tokenizer = Tokenizer(backend, backend.token_to_id("</s>"))
    shape = TransformerConfig(
        tokenizer.vocab_size, dim=48, layers=2, heads=3, kv_heads=3, hidden_dim=128, max_length=512
    )
    save_model(Model("small", Transformer(shape), tokenizer, shape.max_length), folder)


def memory(name: str) -> int:
    """`VmHWM` or `VmRSS` of this process, bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def forget_peak() -> None:
    """Let `VmHWM` begin anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def child(given: argparse.Namespace) -> dict[str, Any]:
    """Train from the file for some steps; what it took."""
    import workbench.__main__  # noqa: F401  sets what it wants of the environment; before torch
    from workbench.data.large import row_stream
    from workbench.runs import prepare
    from workbench.runs.run import Run
    from workbench.train.config import TrainConfig
    from workbench.train.events import StepEvent

    row_stream.LARGE = 0
    found: dict[str, Any] = {"python and torch": time.time() - given.begun}
    read = prepare.load_data

    def timed(*args: Any) -> Any:
        found["model"] = time.time() - given.begun - found["python and torch"]
        forget_peak()
        found["before"], begin, worked = memory("VmRSS"), time.time(), time.process_time()
        data = read(*args)
        found["data"], found["grown by data"] = time.time() - begin, memory("VmHWM")
        found["data, processor"] = time.process_time() - worked
        return data

    settings = {"max_steps": STEPS, "eval_every": 0, "checkpoint_minutes": 0.0}
    with patch.object(prepare, "load_data", timed), TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        run = Run.create(TrainConfig(given.model, given.file, out=out, **settings))
        for event in run:
            if isinstance(event, StepEvent) and event.step == 1:
                found["first step"] = time.time() - given.begun
                found["first step, processor"] = time.process_time()
            if isinstance(event, StepEvent) and event.step == STEPS:
                found["grown"] = memory("VmHWM") - found["before"]
    found["grown by data"] -= found["before"]
    return found


def in_process(file: Path, model: Path, cache: Path) -> dict[str, Any]:
    """`child` in a process of its own."""
    program = [sys.executable, "-m", "benchmarks.large_data", "--child", str(file), str(model)]
    environment = {**os.environ, "WORKBENCH_CACHE": str(cache)}
    said = subprocess.run(
        [*program, str(time.time())], stdout=subprocess.PIPE, env=environment, check=True
    ).stdout
    return json.loads(said)


def measured(count: int, folder: Path) -> dict[str, Any]:
    """One row of the table."""
    file, cache = folder / f"{count}.parquet", folder / f"cache-{count}"
    write_parquet(file, count)
    made = in_process(file, folder / "model", cache)
    size = sum(part.stat().st_size for part in cache.rglob("*") if part.is_file())
    started = in_process(file, folder / "model", cache)
    return {
        "rows": count,
        "file, MB": file.stat().st_size / 1e6,
        "making the cache, s": made["data"],
        "of a processor, microseconds a row": made["data, processor"] / count * 1e6,
        "cache, bytes a row": size / count,
        "grown at most by making, MB": made["grown by data"] / 1e6,
        "opening the cache, s": started["data"],
        "first step, s": started["first step"],
        "of a processor, s": started["first step, processor"],
        "grown to step 50, MB": started["grown"] / 1e6,
    }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=1, help="not used: one round says enough")
    parser.add_argument("--pairs", help="not used")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--child", nargs=3, metavar=("FILE", "MODEL", "BEGUN"))
    given = parser.parse_args()
    if given.child:
        file, model, begun = given.child
        print(json.dumps(child(argparse.Namespace(file=file, model=model, begun=float(begun)))))
        return
    with TemporaryDirectory(prefix="large-data-") as name:
        folder = Path(name)
        write_model(folder / "model")
        table = pd.DataFrame([measured(count, folder) for count in given.rows])
    show("A large file: making its cache, and starting from it", table)
    save(table, given.results, "large_data")


if __name__ == "__main__":
    main()
