"""What is checked before the first step, on a few of a run's own rows and on the ids of all.

The forward passes are those that training makes: its layout, kernels and precision, its reference.
They are compared with the definition: one row per completion, plain kernels, float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.policy import PLAIN, Policy
from workbench.runs.prepare import Parts
from workbench.runs.self_test.result import Check, named
from workbench.train import distributed
from workbench.train.epoch_order import sizes_of
from workbench.train.loop import TrainState
from workbench.train.precision import autocast, bf16_weights, computing
from workbench.train.reference.live import LiveReference

ROWS, TOKENS = 4, 128  # rows that are scored: at most so many; from the second on, so many tokens
ROUNDING = {"float32": 3e-3, "bf16": 0.3}  # nats; of a log-ratio, times the root of its tokens
SHARE = {"float32": 1e-3, "bf16": 0.1}  # of a loss, by which two ways to its value differ
LOG_2 = ("dpo", "cdpo", "robust", "dpo_norm", "dpop")  # losses of -log sigma(0) at equal models


@dataclass(frozen=True)
class Scored:
    """The rows that are scored, and where.

    Attributes:
        rows: their rows in the file, for messages.
        batch: as training has them.
        plain: as the definition has them.
    """

    rows: list[int]
    batch: SequenceBatch
    plain: SequenceBatch

    @classmethod
    def of(cls, parts: Parts) -> Scored:
        """The shortest rows of the training data: they cost least."""
        method, items, config = parts.method, parts.data.train, parts.config
        order = np.argsort(sizes_of(items, method.size), kind="stable").tolist()
        chosen = order[:2]
        for index in order[2:ROWS]:
            if sum(method.size(items[one]) for one in [*chosen, index]) <= TOKENS:
                chosen.append(index)
        batch, plain = (
            method.collate(
                [items[index] for index in chosen], parts.model.tokenizer.pad_id, layout, chosen
            ).to(config.device)
            for layout in (config.layout or "stacked", "stacked")
        )
        return cls([parts.data.train_texts[index].row for index in chosen], batch, plain)


def log_ratios(parts: Parts, scored: Scored) -> dict[tuple[int, ...], Tensor]:
    """(sequence,) policy minus reference of each part of the batch, by the part's `columns`."""
    config, policy, reference = parts.config, parts.model.policy, parts.reference
    assert reference is not None
    found = {}
    for part in scored.batch.parts:
        with torch.no_grad(), computing(policy, config.device, config.precision):
            ours = policy(part).sums(part.sequences)
        found[part.columns] = ours - reference.logps(part)
    return found


def rewards(parts: Parts, scored: Scored, ratios: Mapping[tuple[int, ...], Tensor]) -> Check:
    """Policy and reference are one model: every log-ratio is 0, but for rounding."""
    share, worst, bad = ROUNDING[parts.config.precision], 0.0, set[int]()
    for part in scored.batch.parts:
        found, limits = ratios[part.columns].abs(), share * part.lengths().sqrt()
        worst = max(worst, float(found.max()))
        near = (found <= limits).view(len(scored.rows), -1).all(1)  # item
        bad |= {row for row, good in zip(scored.rows, near.tolist(), strict=True) if not good}
    text = f"log-ratios of policy and reference are at most {worst:.2g} nats"
    if bad:
        text += (
            f", in rows {named(sorted(bad))} more than rounding: the reference is not the model "
            "that training starts from; see whether the model or the cached values changed, or "
            "take --reference live"
        )
    return Check("step-0 rewards are 0", not bad, text, stops=True)


def loss_and_gradients(
    parts: Parts,
    state: TrainState,
    scored: Scored,
    ratios: Mapping[tuple[int, ...], Tensor] | None,
) -> list[Check]:
    """The loss is the one defined, and its gradient reaches what is trained, and nothing else."""
    config, policy, method = parts.config, parts.model.policy, parts.method
    trained = {id(weight) for group in state.optimizer.param_groups for weight in group["params"]}
    copies = bf16_weights(policy, config.device, config.precision)
    with copies.active() if copies else nullcontext():
        with autocast(config.device, config.precision):
            shared = method.statistics(policy, [scored.batch], state.settings, parts.reference)
            found = method.losses(policy, scored.batch, state.settings, parts.reference, shared)
        found.values.sum().backward()
        if copies:
            copies.gather(True, True)
    reached, unreached, wrong, sizes = 0, [], [], 0.0
    for name, weight in policy.named_parameters():
        gradients = [weight.grad] if copies is None else copies.gradients(weight)
        known = [gradient for gradient in gradients if gradient is not None]
        if id(weight) not in trained:
            wrong += [name] if known else []
        elif known:
            reached += 1
            # Sums, as a process may have no part of a small weight that is sharded.
            sizes += sum(float(distributed.whole(gradient.abs().sum())) for gradient in known)
        else:
            unreached.append(name)
        weight.grad = None
    text = f"{reached:,} of {reached + len(unreached):,} trained tensors have a gradient"
    if wrong:
        text += f"; so have {named(wrong)}, which are not trained: freeze them"
    if unreached:
        text += f"; none has {named(unreached)}: nothing of the loss depends on them"
    if not sizes:
        text += "; all are 0: see whether chosen and rejected differ, and the loss's parameters"
    return [
        _loss(parts, state, scored, ratios, found.values.detach().double().cpu()),
        Check(
            "gradients reach what is trained", bool(sizes) and not wrong and not unreached, text,
            stops=bool(wrong) or not sizes,
        ),
    ]  # fmt: skip


class _Apart:
    """The policy itself as its reference, but for these log-ratios: what rounding left of 0."""

    def __init__(
        self, policy: Policy, device: str, ratios: Mapping[tuple[int, ...], Tensor]
    ) -> None:
        self._policy, self._ratios = LiveReference(policy, device), ratios

    def logps(self, batch: SequenceBatch) -> Tensor:
        return self._policy.sums(batch)["logps"] - self._ratios[batch.columns]

    def beyond(self, batch: SequenceBatch) -> Tensor:
        return self._policy.sums(batch, paired=True)["beyond"]


def _loss(
    parts: Parts,
    state: TrainState,
    scored: Scored,
    ratios: Mapping[tuple[int, ...], Tensor] | None,
    values: Tensor,
) -> Check:
    """`values` (item,) of the training path against the definition on the same rows."""
    policy, method, settings = parts.model.policy, parts.method, state.settings
    reference = _Apart(policy, parts.config.device, ratios) if ratios else None
    with torch.no_grad(), _plain(policy):
        shared = method.statistics(policy, [scored.plain], settings, reference)
        defined = method.losses(policy, scored.plain, settings, reference, shared).values
    defined, weight = defined.double().cpu(), float(method.weights(scored.plain).sum())
    mean, loss = float(values.sum()) / weight, method.loss(settings)
    limits = SHARE[parts.config.precision] * defined.abs().clamp(min=1)
    near = (values - defined).abs() <= limits
    bad = [row for row, good in zip(scored.rows, near.tolist(), strict=True) if not good]
    text = f"{loss.name} is {mean:.4f}, by its definition {float(defined.sum()) / weight:.4f}"
    if bad:
        text += f"; rows {named(bad)} differ: try --layout stacked --kernels plain"
    if closed := loss.name in LOG_2 and not settings.get("wpo"):
        text += f", log 2 = {math.log(2):.4f} but for rounding"
    passed = not bad and not (closed and abs(mean - math.log(2)) > SHARE[parts.config.precision])
    return Check("the loss is as defined", passed, text)


@contextmanager
def _plain(policy: Policy) -> Iterator[None]:
    """Within it the policy is computed as it is defined."""
    model: Any = getattr(policy, "body", policy)  # of a reward model or a model with a value head
    kernels, model.kernels = model.kernels, PLAIN
    try:
        yield
    finally:
        model.kernels = kernels


def dropout(policy: nn.Module, drew: bool) -> Check:
    """Nothing is left out at random, neither by a layer nor within a forward pass."""
    layers = [
        name
        for name, layer in policy.named_modules()
        if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.training and layer.p > 0
    ]
    text = "no layer and no forward pass drew a random number"
    if layers or drew:
        where = f"in {named(layers)}" if layers else "in the forward pass"
        text = f"dropout is on {where}: call eval() on the model, or set its dropout to 0"
    return Check("dropout is off", not (layers or drew), text)
