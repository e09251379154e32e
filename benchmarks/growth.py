"""What grows with the work, and what must not: time a pair over data sets, time a token over rows.

    python -m benchmarks.growth [--rounds 3] [--results FOLDER]

1. Preparing a run and training, for 100 to 100,000 pairs on a very small decoder: batching must not
   slow down with the size. The steps timed are spread over the epoch.
2. SmolLM2 forward and backward with the same number of tokens in rows of 128 to 2048: what is above
   the shortest is attention.

All sizes are measured in every round, in an order drawn anew; the first round is thrown away.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import workbench.__main__  # noqa: F401  sets what it wants of the environment; before torch
from benchmarks.ours import Steps, prepared
from benchmarks.report import own_process, save, show
from benchmarks.side_by_side import spread
from workbench.core.batch import Completion, Pair, SequenceBatch
from workbench.core.collation import collate_sequences
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.tokenizer import Tokenizer
from workbench.models.load import Model
from workbench.train.batches import Counted
from workbench.train.loop import fit

SIZES = (100, 1_000, 10_000, 100_000)
BATCH, STEPS = 50, 20
LENGTHS = (128, 256, 512, 1024, 2048)
TOKENS = 2048  # a step


@dataclass
class Spread(Counted):
    """Some steps of an epoch, evenly far apart."""

    batches: Counted
    steps: int

    def __len__(self) -> int:
        return self.steps

    def at(self, step: int) -> list[SequenceBatch]:
        """The batches of this step."""
        return self.batches.at(step % self.steps * len(self.batches) // self.steps)


def rounds_of(
    sizes: Iterable[int], measure: Callable[[int], Mapping[str, float]], rounds: int
) -> dict[int, dict[str, list[float]]]:
    """`measure` for every size in every round: size -> name -> values of the rounds that count."""
    found: dict[int, dict[str, list[float]]] = {size: {} for size in sizes}
    order = random.Random(0)
    for number in range(rounds + 1):
        for size in order.sample(list(found), len(found)):
            for name, value in measure(size).items():
                if number:
                    found[size].setdefault(name, []).append(value)
    return found


def table(
    label: str, found: Mapping[int, Mapping[str, list[float]]], base: int
) -> list[dict[str, Any]]:
    """One row a size and quantity: the value, and its ratio to that of size `base`."""
    rows = []
    for size, quantities in found.items():
        for name, values in quantities.items():
            beside = zip(values, found[base][name], strict=True)
            value, ratio = spread(values), spread([own / other for own, other in beside])
            rows.append(
                {
                    label: size,
                    "what": name,
                    "microseconds": value.middle * 1e6,
                    "q1": value.low * 1e6,
                    "q3": value.high * 1e6,
                    f"ratio to {base}": ratio.middle,
                    "ratio_q1": ratio.low,
                    "ratio_q3": ratio.high,
                }
            )
    return rows


def small_pairs(count: int) -> list[Pair]:
    """Random pairs of 4 to 12 tokens a part."""
    draw = random.Random(0)

    def part() -> tuple[int, ...]:
        return tuple(draw.choices(range(2, 64), k=draw.randint(4, 12)))

    return [Pair(part(), part(), part()) for _ in range(count)]


def pair_seconds() -> Callable[[int], Mapping[str, float]]:
    """How to measure one data set."""
    shape = TransformerConfig(64, dim=32, layers=1, heads=1, kv_heads=1, hidden_dim=64)
    data = small_pairs(max(SIZES))

    def measure(size: int) -> Mapping[str, float]:
        model = Model("tiny", Transformer(shape), Tokenizer.from_words([]), shape.max_length)
        begin = time.perf_counter()
        parts = prepared(data[:size], model, batch_size=BATCH, max_steps=STEPS)
        prepared_at = time.perf_counter()
        parts.batches.at(0)  # draws the order of the epoch
        arranged = time.perf_counter()
        batches = Spread(parts.batches, STEPS)
        for _ in fit(parts.model.policy, batches, parts.config, reference=parts.reference):
            pass
        return {
            "preparing, reference included": (prepared_at - begin) / size,
            "arranging an epoch": (arranged - prepared_at) / size,
            "training": (time.perf_counter() - arranged) / (STEPS * BATCH),
        }

    return measure


@dataclass
class Current(Counted):
    """The one batch that is set, at every step."""

    batch: SequenceBatch | None = None

    def __len__(self) -> int:
        return 1

    def at(self, step: int) -> list[SequenceBatch]:
        """The batch that is set, whatever the step."""
        assert self.batch is not None
        return [self.batch]


def token_seconds() -> Callable[[int], Mapping[str, float]]:
    """How to measure one length of rows: plain next-token training, all tokens scored."""
    few = [Completion((number,), (number,)) for number in range(8)]  # never trained on
    parts = prepared(few, method="sft", model="smollm2", max_steps=10**6)
    current = Current()
    steps, draw = Steps(parts, current), random.Random(0)

    def measure(length: int) -> Mapping[str, float]:
        rows = [draw.choices(range(1000, 40_000), k=length) for _ in range(TOKENS // length)]
        current.batch = collate_sequences([(row[:1], row[1:]) for row in rows], 0)
        return {f"forward and backward, {parts.config.precision}": steps.take()[0] / TOKENS}

    return measure


def main() -> None:
    """Measure, print and write both tables."""
    import pandas as pd

    given = own_process(__doc__, rounds=3)
    pairs = table("pairs", rounds_of(SIZES, pair_seconds(), given.rounds), 1_000)
    show("Time a pair over the size of the data set", pd.DataFrame(pairs))
    save(pd.DataFrame(pairs), given.results, "growth_pairs")
    tokens = table("length", rounds_of(LENGTHS, token_seconds(), given.rounds), 128)
    show(f"SmolLM2: time a token over the length of a row, {TOKENS} a step", pd.DataFrame(tokens))
    save(pd.DataFrame(tokens), given.results, "growth_tokens")


if __name__ == "__main__":
    main()
