"""Faults planted in runs of the tiny model, each with the name that the doctor is to give it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.data.pairs import TextPair
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.runs.run import Run
from workbench.train.config import TrainConfig, preset

PROXY = """
def count(prompts, completions):
    return [text.split().count("superb") for text in completions]
"""
Plant = Callable[[Path, int], object]


def trained(folder: Path, seed: int, **settings: Any) -> Run:
    """A run to its end, in `folder`."""
    run = Run.create(TrainConfig(seed=seed, out=str(folder), **settings))
    for _ in run:
        pass
    return run


def written(folder: Path, pairs: Sequence[TextPair]) -> str:
    """A file of pairs beside the run."""
    path = folder.with_suffix(".jsonl")
    rows = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def reviews(count: int, seed: int = 0, **knobs: Any) -> list[TextPair]:
    """Pairs of the embedded world, written by its grammar."""
    return Reviews(ReviewsConfig(pairs=count, world_seed=seed, **knobs)).preferences()


def random_labels(folder: Path, seed: int) -> None:
    """Half of the labels are flipped: nothing is left to learn."""
    trained(folder, seed, world=ReviewsConfig(label_noise=0.5))


def alike_sides(folder: Path, seed: int) -> None:
    """The sides of each pair differ in one word only."""
    trained(folder, seed, loss="dpo", world=ReviewsConfig(similarity=1.0), epochs=6)


def longer_chosen(folder: Path, seed: int) -> None:
    """The chosen side is always the longer one."""
    trained(folder, seed, world=ReviewsConfig(length_bias=1.0), lr=1e-3, epochs=6)


def repeating_chosen(folder: Path, seed: int) -> None:
    """Fine-tuned on answers whose sentences all begin with one word five times."""
    begun = "really " * 5
    pairs = [
        replace(p, chosen=begun + p.chosen.replace(". ", f". {begun}")) for p in reviews(1024, seed)
    ]
    trained(folder, seed, data=written(folder, pairs), loss="sft", lr=2e-3)


def too_long(folder: Path, seed: int) -> None:
    """Nearly no KL penalty, and eight epochs."""
    trained(folder, seed, beta=0.01, lr=2e-3, epochs=8)


def proxy_reward(folder: Path, seed: int) -> None:
    """GRPO on a reward that counts one word, with hardly a KL penalty."""
    path = folder.with_suffix(".py")
    path.write_text(PROXY, encoding="utf-8")
    trained(folder, seed, loss="grpo", reward=f"{path}:count", beta=0.001)


def by_heart(folder: Path, seed: int) -> None:
    """Sixty pairs, fifty times."""
    trained(folder, seed, data=written(folder, reviews(120, seed)), held_out=60, epochs=60, lr=1e-3)


def swapped_sides(folder: Path, seed: int) -> None:
    """The world prefers the worse review."""
    with swapped():
        trained(folder, seed)


@contextmanager
def swapped() -> Iterator[None]:
    """The reviews with chosen and rejected exchanged."""
    right = Reviews.preferences

    def wrong(self: Reviews, generate: Any = None) -> list[TextPair]:
        return [replace(p, chosen=p.rejected, rejected=p.chosen) for p in right(self, generate)]

    Reviews.preferences = wrong  # type: ignore[method-assign]
    try:
        yield
    finally:
        Reviews.preferences = right  # type: ignore[method-assign]


def swapped_training(folder: Path, seed: int) -> None:
    """Chosen and rejected are exchanged in the training part alone."""
    pairs = reviews(1024, seed)
    path = written(folder, pairs)
    config = TrainConfig(data=path, seed=seed)
    held = set(Run.create(config).data.known.held_out or [])
    mixed = [
        p if p.row in held else replace(p, chosen=p.rejected, rejected=p.chosen) for p in pairs
    ]
    trained(folder, seed, data=written(folder, mixed))


def small_lr(folder: Path, seed: int) -> None:
    """A learning rate that suits models a hundred times as large."""
    trained(folder, seed, lr=1e-6)


def large_lr(folder: Path, seed: int) -> None:
    """The preset that shows it."""
    config = preset("lr-too-high", seed=seed, out=str(folder))
    for _ in Run.create(config):
        pass


def small_beta(folder: Path, seed: int) -> None:
    """Nothing holds the policy back."""
    trained(folder, seed, beta=0.001, lr=1e-3, epochs=8)


def leaked(folder: Path, seed: int) -> None:
    """Each pair stands in the file twice, under two prompts."""
    pairs, rng = reviews(512, seed), random.Random(seed)
    world = Reviews()
    again = []
    for pair in pairs:
        same = [p for p in world.prompts if world.topic_of(p) == pair.group and p != pair.prompt]
        again.append(replace(pair, prompt=rng.choice(same)))
    trained(folder, seed, data=written(folder, [*pairs, *again]))


def other_reference(folder: Path, seed: int) -> None:
    """The reference is the model before it was fine-tuned, the start is the model after."""
    tuned = trained(folder.with_name(folder.name + "-sft"), seed, loss="sft", lr=2e-3)
    run = Run.create(TrainConfig(seed=seed, out=str(folder)))
    run.policy.load_state_dict(tuned.policy.state_dict())
    for _ in run:
        pass


def few_held_out(folder: Path, seed: int) -> None:
    """Ten held-out pairs."""
    pairs = reviews(256, seed)
    trained(folder, seed, data=written(folder, pairs), held_out=10)


FAULTS: dict[str, tuple[str, Plant]] = {
    "random labels": ("stuck at log 2", random_labels),
    "sides alike": ("chosen falling", alike_sides),
    "chosen longer": ("length growing", longer_chosen),
    "chosen repeats itself": ("repetition", repeating_chosen),
    "trained too long": ("over-optimisation", too_long),
    "proxy reward": ("over-optimisation", proxy_reward),
    "sixty pairs, sixty epochs": ("memorised pairs", by_heart),
    "sides swapped": ("labels flipped", swapped_sides),
    "sides swapped in training": ("labels flipped", swapped_training),
    "learning rate 1e-6": ("learning rate too small", small_lr),
    "learning rate 1e-2": ("learning rate too large", large_lr),
    "beta 0.001": ("KL exploding", small_beta),
    "each pair twice": ("held-out leakage", leaked),
    "reference before SFT": ("reference is not the start", other_reference),
    "ten held-out pairs": ("evaluation too small", few_held_out),
}
