"""What one GPU makes of the workbench: beside TRL, and with each of its paths switched off.

    python run.py bench gpu
    python -m benchmarks.gpu [--minutes 8] [--rounds 5] [--results FOLDER]
    python -m benchmarks.gpu --device cpu --tiny        the same on small models, to try it

Without a GPU nothing is measured, and one line says so. The tables are Markdown, to be copied.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

import workbench.__main__  # noqa: F401  sets what it wants of the environment; before torch
from benchmarks.gpu_contender import ALWAYS
from benchmarks.report import RESULTS, digits, outcome_rows, save
from benchmarks.side_by_side import Contender, ContenderError, measure
from benchmarks.utilisation import needed_flops
from benchmarks.workloads import cut_pairs, write_pairs
from workbench.core.batch import Pair
from workbench.core.fast.gpu.gpu_kernels import PATHS, paths_for
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.load import Model, save_model
from workbench.models.smollm2 import fetch_smollm2

PEAKS = {  # FLOP/s of dense bf16 products, as the makers give them, by a part of the device's name
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
}
SHAPES = {
    "SmolLM2": TransformerConfig(49_152, 576, 30, 9, 3, 1536, 8192, rope_theta=1e5),
    "1.5B": TransformerConfig(151_936, 1536, 28, 12, 2, 8960, 4096, rope_theta=1e6),
}
TINY = TransformerConfig(49_152, 32, 2, 2, 1, 48, 256)
SHOWN = ("contender", "rate", "ratio", "ratio_q1", "ratio_q3", "peak_gb", "share_of_peak")


@dataclass(frozen=True)
class Lengths:
    """Pairs per step, and the least and most tokens of prompts and of answers."""

    batch: int
    prompt: tuple[int, int]
    answer: tuple[int, int]

    def pairs(self, count: int) -> list[Pair]:
        """Random tokens of random lengths."""
        draw = random.Random(0)
        text = [draw.randrange(10, 40_000) for _ in range(50_000)]
        sizes = [
            (draw.randint(*self.prompt), draw.randint(*self.answer), draw.randint(*self.answer))
            for _ in range(count)
        ]
        return [cut_pairs(text, size, 1, seed)[0] for seed, size in enumerate(sizes)]


LENGTHS = {
    "short": Lengths(32, (20, 120), (20, 150)),
    "long": Lengths(4, (200, 256), (400, 512)),
}


def contenders(folder: str, batch: int, on_cpu: bool) -> list[Contender]:
    """Ours and TRL as they come, and TRL at its best.

    TRL 1.16 has no packing for DPO: its `padding_free` falls back to padding.
    """
    flash = find_spec("flash_attn") is not None
    attention = "flash_attention_2" if flash else "sdpa"
    best = {
        "bf16": True,
        "gradient_checkpointing": False,
        "precompute_ref_log_probs": True,
        "model_init_kwargs": {"attn_implementation": attention},
    }
    return [
        ours("workbench", [], folder, batch),
        *(
            Contender(
                name,
                ("-m", "benchmarks.trl_peer"),
                {
                    "model": folder, "trainer": "DPO", "shuffled": name == "TRL as it comes",
                    "config": {"per_device_train_batch_size": batch, "use_cpu": on_cpu, **more},
                },
                words,
            )
            for name, words, more in (
                ("TRL as it comes", "gradient checkpointing, reference at each step", {}),
                ("TRL at its best", f"none of these, similar lengths together, {attention}", best),
            )
        ),
    ]  # fmt: skip


def ours(
    name: str, without: list[str], folder: str, batch: int, kernels: str = "fast"
) -> Contender:
    """The workbench on the model in `folder`, with some paths switched off."""
    setting = {
        "config": {"model": folder, "batch_size": batch, "kernels": kernels},
        "without": without,
    }
    return Contender(name, ("-m", "benchmarks.gpu_contender", "train"), setting, name)


def switched_off(folder: str, batch: int) -> list[Contender]:
    """Ours, and ours without each path in turn, and without all."""
    names = [name for name, path in PATHS.items() if path.compiled] + list(ALWAYS)
    return [
        ours("workbench", [], folder, batch),
        *(ours(f"without {name}", [name], folder, batch) for name in names),
        ours("kernels plain", [], folder, batch, "plain"),
    ]


def decoding(folder: str) -> list[Contender]:
    """Greedy answers of 64 tokens to 16 prompts, with the graph and without."""
    prompts = [list(pair.prompt) for pair in LENGTHS["short"].pairs(16)]
    setting = {
        "model": folder, "new_tokens": 64, "prompts": prompts, "pad_id": 0, "precision": "bf16",
    }  # fmt: skip
    program = ("-m", "benchmarks.gpu_contender", "answer")
    return [
        Contender("workbench", program, {**setting, "without": []}),
        Contender("without decoding", program, {**setting, "without": ["decoding"]}),
    ]


def model_folder(shape: TransformerConfig, folder: Path) -> Path:
    """A checkpoint of this shape with random weights, in bf16."""
    try:
        tokenizer = Tokenizer.from_folder(fetch_smollm2())
    except WorkbenchError:  # no network: speed asks for no text
        tokenizer = Tokenizer.from_words([])
    policy = Transformer(shape).bfloat16()
    save_model(Model(folder.name, policy, tokenizer, shape.max_length), folder)
    return folder


def peak_rate(on_cpu: bool, side: int) -> tuple[float, str]:
    """FLOP/s that the device could do in bf16, and where the figure is from."""
    import torch

    device = "cpu" if on_cpu else "cuda"
    name = device if on_cpu else torch.cuda.get_device_name()
    for part, peak in PEAKS.items():
        if part in name:
            return peak, f"{name}, {peak / 1e12:.0f} TFLOP/s by its maker"
    left, right = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    seconds = []
    for _ in range(8):
        begin = time.perf_counter()
        float((left @ right)[0, 0])  # reading a value waits for the device
        seconds.append(time.perf_counter() - begin)
    peak = 2 * side**3 / min(seconds)
    return peak, f"{name}, {peak / 1e12:.3g} TFLOP/s measured by a product of {side} by {side}"


class Clock:
    """Lets no measurement begin that would take longer than what is left."""

    def __init__(self, minutes: float) -> None:
        self._end, self._longest = time.monotonic() + 60 * minutes, 0.0

    def run(
        self, title: str, told: list[Contender], rounds: int, steps: int, items: int
    ) -> pd.DataFrame | None:
        """One table, or None where a line says why there is none."""
        begin = time.monotonic()
        if begin + self._longest > self._end:
            print(f"\n{title}: left out, for want of time (--minutes)", flush=True)
            return None
        try:
            outcomes = measure(told, rounds, steps)
        except ContenderError as error:
            print(f"\n{title}: not measured: {error}", flush=True)
            return None
        self._longest = max(self._longest, time.monotonic() - begin)
        return outcome_rows(title, "pairs/s", items * steps, outcomes)


def markdown(title: str, frame: pd.DataFrame) -> None:
    """Print a table."""
    frame = frame[[name for name in SHOWN if name in frame]]
    print(f"\n{title}\n\n| {' | '.join(frame)} |\n|{'---|' * len(frame.columns)}")
    for row in frame.itertuples(index=False):
        print(f"| {' | '.join(map(digits, row))} |", flush=True)


def measure_all(
    given: argparse.Namespace, folder: Path, peak: float, clock: Clock
) -> Iterator[tuple[str, pd.DataFrame]]:
    """(title, table) one by one, the most wanted first."""
    on_cpu, rounds = given.device == "cpu", given.rounds
    shapes = {"tiny": TINY} if given.tiny else SHAPES
    steps = 1 if given.tiny else 4
    workloads = LENGTHS
    if given.tiny:
        workloads = {"short": Lengths(2, (4, 8), (4, 8)), "long": Lengths(2, (20, 30), (30, 40))}
    folders = {name: str(model_folder(shape, folder / name)) for name, shape in shapes.items()}
    first = next(iter(folders))

    def beside(told: list[Contender], lengths: Lengths) -> list[Contender]:
        path = folder / "pairs.json"
        write_pairs(lengths.pairs((rounds + 1) * steps * lengths.batch), path)
        return [replace(one, setting={**one.setting, "pairs": str(path)}) for one in told]

    for length, lengths in workloads.items():
        for name, shape in shapes.items():
            title = f"{name}, {length}: {lengths.batch} pairs per step"
            told = contenders(folders[name], lengths.batch, on_cpu)
            found = clock.run(title, beside(told, lengths), rounds, steps, lengths.batch)
            if found is not None:
                pairs = lengths.pairs(256)
                per_pair = sum(needed_flops(pairs, Transformer(shape, None)).values()) / len(pairs)
                found["share_of_peak"] = found["rate"] * per_pair / peak
                yield title, found
    lengths = workloads["short"]
    used = ", ".join(sorted(paths_for(Transformer(shapes[first], None), given.device)))
    print(f"\nPaths in use here: {used or 'none, so the next two tables show noise'}", flush=True)
    for title, told, items in (
        (
            f"{first}: paths switched off",
            switched_off(folders[first], lengths.batch),
            lengths.batch,
        ),
        (f"{first}: 16 answers of 64 tokens, answers/s", decoding(folders[first]), 16),
    ):
        found = clock.run(title, beside(told, lengths), rounds, steps, items)
        if found is not None:
            yield title, found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models, to try the command")
    parser.add_argument("--pairs", help="not used: the pairs are random tokens")
    return parser.parse_args()


def main() -> None:
    """Measure what there is time for, and print it."""
    import torch

    given = arguments()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("gpu: nothing was measured, because this machine has no CUDA device")
        return
    peak, words = peak_rate(given.device == "cpu", 256 if given.tiny else 8192)
    print(f"Peak: {words}; torch {torch.__version__}", flush=True)
    frames = []
    with TemporaryDirectory() as folder:
        for title, frame in measure_all(given, Path(folder), peak, Clock(given.minutes)):
            frame["peak_gb"] = frame["peak_memory_bytes"] / 1e9
            markdown(title, frame)
            frames.append(frame.assign(device=words))
    print("\nPaths:", *(f"- {name}: {path.words}" for name, path in PATHS.items()), sep="\n")
    print(*(f"- {name}: {what}" for name, what in ALWAYS.items()), sep="\n")
    if frames and not given.tiny:
        save(pd.concat(frames), given.results, "gpu")


if __name__ == "__main__":
    main()
