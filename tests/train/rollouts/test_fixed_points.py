"""With a known reward and a policy that is a table, PPO and GRPO end where the theory says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from workbench.core.batch import Completion
from workbench.core.policy import Policy
from workbench.data.completions import TextCompletion
from workbench.train.config import TrainConfig
from workbench.train.loop import fit
from workbench.train.method import find_method
from workbench.train.reference.live import LiveReference
from workbench.train.rollouts.rollout_batches import RolloutBatches

PROMPTS, ANSWERS = 2, 4
END = PROMPTS + ANSWERS  # after a prompt comes an answer, after an answer the end
BETA = 0.5


class Table(Policy):
    """Logits of an answer for each prompt; every completion is an answer and the end."""

    max_length, layouts = 3, ("stacked",)
    recompute = False

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits_of_answers = nn.Parameter(logits.clone())

    @property
    def vocab_size(self) -> int:
        return END + 1

    def hidden(self, tokens: Tensor, *_: Any, **__: Any) -> Tensor:
        return nn.functional.one_hot(tokens, END + 1).float()

    def head(self, hidden: Tensor) -> Tensor:
        table = hidden.new_full((END + 1, END + 1), -1e4)
        table[PROMPTS:, END] = 0.0
        table[:PROMPTS, PROMPTS:END] = self.logits_of_answers
        return hidden @ table

    def new_cache(self, rows: int, max_length: int) -> None:
        return None

    @property
    def answer_logps(self) -> Tensor:
        return self.logits_of_answers.detach().log_softmax(-1)


TOKENIZER = SimpleNamespace(
    pad_id=END, eos_id=END, stop_ids=[END], decode=lambda ids: " ".join(map(str, ids))
)


def train(seed: int, **settings: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards, and log-probabilities of the reference and of the trained policy."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(3, PROMPTS, ANSWERS, generator=generator)
    rewards, reference, start = draw[0], Table(0.7 * draw[1]), Table(draw[2])

    def reward(prompts: Any, completions: Any) -> list[float]:
        chosen = [
            (int(p), int(c.split()[0]) - PROMPTS) for p, c in zip(prompts, completions, strict=True)
        ]
        return [rewards[where].item() for where in chosen]

    config = TrainConfig(
        **{
            "device": "cpu", "precision": "float32", "layout": "stacked", "seed": seed,
            "rollout_size": 512, "rollout_epochs": 2, "batch_size": 256, "lr": 0.1, "warmup": 0,
            "max_steps": 280, "schedule": "linear", "max_grad_norm": 10.0, "beta": BETA, **settings,
        }
    ).resolved()  # fmt: skip
    method = find_method(str(config.method))
    frozen = LiveReference(reference.requires_grad_(False))
    items = [Completion((prompt,), ()) for prompt in range(PROMPTS)]
    texts = [TextCompletion(str(prompt), "", True) for prompt in range(PROMPTS)]
    source = RolloutBatches(
        items, texts, method, replace(config, max_new_tokens=2), TOKENIZER, frozen, reward, 3
    )
    trained = method.trained(start)
    for _ in fit(trained, source, config, method=method, reference=frozen):
        pass
    return rewards, reference.answer_logps, start.answer_logps


def kl(policy: Tensor, other: Tensor) -> float:
    """The larger one of the prompts'."""
    return (policy.exp() * (policy - other)).sum(-1).max().item()


def optimum(rewards: Tensor, reference: Tensor) -> Tensor:
    """pi_ref exp(r / beta) / Z."""
    return (reference + rewards / BETA).log_softmax(-1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "ppo", "value_weight": 1.0},
        {"method": "grpo", "scale_scores": False, "kl_in_reward": True, "group_size": 32},
    ],
    ids=lambda settings: settings["method"],
)
def test_the_optimum_is_reached_from_any_start(settings: dict[str, Any], seed: int) -> None:
    rewards, reference, policy = train(seed, **settings)
    assert kl(policy, optimum(rewards, reference)) < 1e-2


@pytest.mark.parametrize("seed", range(3))
def test_grpo_with_the_kl_in_its_loss_ends_elsewhere(seed: int) -> None:
    """The estimate's gradient is that of KL(reference || policy), whose optimum is, for each
    prompt, pi = beta pi_ref / (c - r), with the c that makes it sum to 1."""
    rewards, reference, policy = train(seed, method="grpo", scale_scores=False, group_size=32)
    low, high = rewards.max(-1).values + 1e-6, rewards.max(-1).values + 100.0
    for _ in range(200):
        middle = (low + high) / 2
        total = (BETA * reference.exp() / (middle[:, None] - rewards)).sum(-1)
        low, high = torch.where(total > 1, middle, low), torch.where(total > 1, high, middle)
    expected = (BETA * reference.exp() / (low[:, None] - rewards)).log()
    assert kl(policy, expected) < 1e-2
    assert kl(policy, optimum(rewards, reference)) > 2e-2
