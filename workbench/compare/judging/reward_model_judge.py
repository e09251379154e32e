"""A reward model, trained on preference pairs with `train.loop.fit` and used as a judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from workbench.compare.judging.judges import TIE, Outcomes, compare
from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.losses import all_parameters
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.heads import RewardModel
from workbench.models.lora import has_lora, lora_state
from workbench.runs.run import Run
from workbench.train.batches import batches_for
from workbench.train.loop import fit
from workbench.train.method import find_method
from workbench.train.precision import computing, pick_device

BATCH = 32  # pairs per forward pass


def start_from_reference(run: Run) -> RewardModel:
    """An untrained reward model with the weights of a run's reference.

    In a run with adapters, new training starts from adapters without effect.
    """
    if has_lora(run.policy):
        model = RewardModel(run.policy)
        with torch.no_grad():
            for name, weight in lora_state(model.body).items():
                if "lora_B" in name:
                    weight.zero_()
        return model
    with run.reference.active():
        return RewardModel(run.reference.model)


def reward_judge(run: Run, epochs: int | None = None, lr: float | None = None) -> RewardJudge:
    """A judge that is trained on the training pairs of `run`, starting from its reference.

    Training takes about as long as the run itself. `epochs` and `lr` are by default the run's.
    """
    method = find_method("reward_model")
    none: dict[str, Any] = dict.fromkeys(all_parameters())
    config = replace(
        run.config, epochs=epochs or run.config.epochs, lr=lr or run.config.lr, max_steps=0,
        method=method.name, loss=None, reference=None, **none,
    ).resolved()  # fmt: skip
    pairs, pad_id = run.data.train, run.tokenizer.pad_id
    if not all(isinstance(pair, Pair) for pair in pairs):
        raise WorkbenchError(f"a reward model needs pairs; this run has {run.method.noun}")

    batches = batches_for(
        method, pairs, pad_id, config.batch_size or 1, config.accumulate,
        config.layout or "stacked", config.seed, config.max_tokens or 0, config.bucket,
    )  # fmt: skip
    model = start_from_reference(run)
    for _ in fit(model, batches, config, method=method):
        pass
    return RewardJudge(model, run.tokenizer, device=config.device, precision=config.precision)


@dataclass(frozen=True)
class RewardJudge:
    """A reward model: the answer with the higher reward wins.

    A reward model trained on the policy's own pairs shares the errors of these pairs, and is less
    reliable the further the policy is from its reference (Gao et al. 2022). It measures whether the
    policy fits the pairs, not whether the pairs are right.
    """

    model: RewardModel
    tokenizer: Tokenizer
    name: str = "reward model"
    device: str = "auto"
    precision: str = "float32"

    def __call__(
        self, prompts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str]
    ) -> Outcomes:
        tokenizer = self.tokenizer
        pairs = [
            Pair(tuple(tokenizer.render_prompt(prompt)), one, other)
            for prompt, one, other in zip(
                prompts, tokenizer.completions(answers_a), tokenizer.completions(answers_b),
                strict=True,
            )
        ]  # fmt: skip
        one, other = self.rewards(pairs).numpy()
        same = np.array([a == b for a, b in zip(answers_a, answers_b, strict=True)], bool)
        scores = np.where(same, TIE, compare(one, other))
        return Outcomes.of(prompts, answers_a, answers_b, scores.tolist())

    def rewards(self, pairs: Sequence[Pair]) -> Tensor:
        """(side, pair) the rewards of chosen and rejected."""
        device, pad_id = pick_device(self.device), self.tokenizer.pad_id
        model = self.model.to(device)
        rewards = []
        for start in range(0, len(pairs), BATCH):
            batch = collate(pairs[start : start + BATCH], pad_id).to(device)
            with torch.no_grad(), computing(model, device, self.precision):
                rewards.append(model(batch).double().cpu())
        return rearrange(torch.cat(rewards), "(pair side) -> side pair", side=2)
