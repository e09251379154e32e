"""What each loss needs and costs, counted while it trains a very small model for one step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import nn

from workbench.core.batch import SequenceBatch
from workbench.core.losses import LOSSES, Loss, find_loss
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.batches import batches_for, in_order
from workbench.train.config import TrainConfig
from workbench.train.loop import fit
from workbench.train.method import Reference, find_method
from workbench.train.reference.live import LiveReference, freeze
from workbench.train.reference.values import cache_reference

SMALLEST = BaseConfig(dim=8, layers=1, heads=1, kv_heads=1, hidden_dim=8)


@dataclass
class Scored:
    """How many completions a model has scored, with and without keeping a gradient."""

    with_gradient: int = 0
    without_gradient: int = 0

    @property
    def total(self) -> int:
        return self.with_gradient + self.without_gradient


def method_costs(losses: Sequence[str] | None = None) -> pd.DataFrame:
    """What each loss needs, and how many completions each model scores for one row of the data.

    An optimiser step here is two forward passes (`accumulate` 2), so that a loss whose values
    depend on the whole step shows what that costs.

    Args:
        losses: names of losses on given rows, weighted sums included; all of them in `LOSSES` when
            left out. Those of rollouts are no such losses: their cost is what the policy writes.

    Returns:
        One row per loss: `loss`, `method`; the `rows` of its data, and whether they are `paired`;
        whether it needs a `reference`, `lengths` and the `whole_step`; its `parameters` with
        defaults. Then completions scored per row of the data: by the policy at each step
        `with_gradient` and `without_gradient`; by the reference `reference_once`, where its values
        are cached, or else `reference_per_step`. And how many models a step runs: `models_cached`
        and `models_live`, by that choice.

    Raises:
        WorkbenchError: an unknown loss.
    """
    world = Reviews(ReviewsConfig(topics=2, pairs=8))
    every = [name for name, one in LOSSES.items() if not one.rollouts]
    names = every if losses is None else losses
    return pd.DataFrame([_row(find_loss(name), world) for name in names])


def _row(loss: Loss, world: Reviews) -> dict[str, Any]:
    method = find_method(loss.method)
    return {
        "loss": loss.name,
        "method": loss.method,
        "rows": method.noun,
        "paired": method.paired,
        "reference": loss.needs_reference,
        "lengths": loss.needs_lengths,
        "whole_step": loss.needs_step,
        "parameters": ", ".join(f"{name} {value}" for name, value in loss.defaults.items()),
        **_count(loss, world),
    }


def _count(loss: Loss, world: Reviews) -> dict[str, float]:
    """Train one step with the reference's values cached, and one with the reference itself."""
    method, model = find_method(loss.method), new_model(world, SMALLEST)
    longest, pad_id = model.max_length, model.tokenizer.pad_id
    encoded = method.encode(method.from_pairs(world.preferences()), model.tokenizer, longest)
    items = method.complete(encoded.items, [], longest)
    size, policy = len(items) // 2, method.trained(model.policy)
    live = LiveReference(freeze(model.policy, "float32"))
    config = TrainConfig(loss=loss.name, max_steps=1, precision="float32", device="cpu")

    def step(reference: Reference | None) -> tuple[Scored, Scored]:
        batches = batches_for(method, items, pad_id, size, accumulate=2, layout="stacked")
        with counted(policy) as ours, counted(live.model) as theirs:
            for _ in fit(policy, batches, config, method=method, reference=reference):
                pass
        return ours, theirs

    with counted(live.model) as once:
        ordered = in_order(method, items, pad_id, size, "stacked")
        shape = (len(items), method.completions)
        cached = cache_reference(live, ordered, shape) if loss.needs_reference else None
    with_cache, without = step(cached), step(live if loss.needs_reference else None)
    ours, theirs = without
    return {
        "with_gradient": ours.with_gradient / len(items),
        "without_gradient": ours.without_gradient / len(items),
        "reference_once": once.total / len(items),
        "reference_per_step": theirs.total / len(items),
        "models_cached": sum(scored.total > 0 for scored in with_cache),
        "models_live": sum(scored.total > 0 for scored in without),
    }


@contextmanager
def counted(model: nn.Module) -> Iterator[Scored]:
    """Count the completions that `model` scores within this context."""
    scored = Scored()

    def count(_: nn.Module, arguments: tuple[SequenceBatch]) -> None:
        if torch.is_grad_enabled():
            scored.with_gradient += arguments[0].sequences
        else:
            scored.without_gradient += arguments[0].sequences

    handle = model.register_forward_pre_hook(count)
    try:
        yield scored
    finally:
        handle.remove()
