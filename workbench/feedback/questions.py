"""Two answers to a prompt, somebody who votes on them, and whether a policy would vote the same."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from workbench.compare.model_handles import ModelHandle
from workbench.feedback.votes import Question, Vote
from workbench.generation.config import SamplingConfig

Voter = Callable[[Question], str]
Reward = Callable[[str, str], float]
"""(prompt, text) -> the true reward."""


@dataclass(frozen=True)
class Asked:
    """Questions for a round; `identical` counts prompts that gave nothing new to vote on."""

    questions: list[Question]
    identical: int


def ask(
    first: ModelHandle,
    second: ModelHandle,
    prompts: Sequence[str],
    sampling: SamplingConfig,
    seed: int = 0,
    round: int = 0,
) -> Asked:
    """Let two models answer every prompt, each with luck of its own, on sides drawn by chance.

    The same model twice gives two samples. Answers that are identical can't be voted on and are
    left out, and so is a pair that was asked before.
    """
    names = first.name, second.name
    if names[0] == names[1]:
        names = f"{names[0]}, first sample", f"{names[1]}, second sample"
    rng = random.Random(f"answers {seed} {round}")
    ones, others = (
        handle.answer(prompts, replace(sampling, seed=rng.randrange(2**31)))
        for handle in (first, second)
    )
    found: dict[object, Question] = {}
    for prompt, one, other in zip(prompts, ones, others, strict=True):
        question = Question.shuffled(prompt, one, other, names, seed, round)
        if one != other:
            found.setdefault(question.key, question)
    return Asked(list(found.values()), len(prompts) - len(found))


def simulated_voter(reward: Reward, scale: float = 8.0, seed: int = 0) -> Voter:
    """Votes as Bradley and Terry say: a over b with probability sigma(scale * (r_a - r_b)).

    The vote on a question depends on the question and the seed alone.
    """

    def vote(question: Question) -> str:
        difference = reward(question.prompt, question.a) - reward(question.prompt, question.b)
        rng = random.Random(f"vote {seed} {question.prompt} {question.a} {question.b}")
        chance = 0.5 + 0.5 * math.tanh(scale * difference / 2)  # sigma, without overflow
        return "a" if rng.random() < chance else "b"

    return vote


def implicit_margins(
    policy: ModelHandle, reference: ModelHandle, questions: Sequence[Question]
) -> Tensor:
    """(question,) implicit reward of a minus that of b, in units of beta: above 0 for a."""
    tokenizer = policy.tokenizer
    sequences = [
        (tokenizer.render_prompt(question.prompt), tokenizer.completion(text))
        for question in questions
        for text in (question.a, question.b)
    ]
    after, before = (
        torch.stack([logps.sum() for logps in handle.token_logps(sequences)])
        for handle in (policy, reference)
    )
    sides = rearrange(after - before, "(question side) -> question side", side=2)
    return sides[:, 0] - sides[:, 1]


def agreement(policy: ModelHandle, reference: ModelHandle, votes: Sequence[Vote]) -> float:
    """Share of the votes for a side, 0 to 1, that the implicit reward would have cast as well.

    It tells something only about votes that were not trained on. A margin of exactly 0 counts one
    half; without a vote for a side there is no number, nan.
    """
    decided = [vote for vote in votes if vote.vote in ("a", "b")]
    if not decided:
        return math.nan
    margins = implicit_margins(policy, reference, decided)
    signs = torch.tensor([1.0 if vote.vote == "a" else -1.0 for vote in decided])
    return (((margins * signs).sign() + 1) / 2).mean().item()
