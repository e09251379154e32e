"""Questions to vote on, a simulated voter, and the agreement of a policy with the votes."""

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
class QuestionSet:
    """Questions of a round; `identical` counts prompts without a new pair of different answers."""

    questions: list[Question]
    identical: int


def make_questions(
    first: ModelHandle,
    second: ModelHandle,
    prompts: Sequence[str],
    sampling: SamplingConfig,
    seed: int = 0,
    round: int = 0,
) -> QuestionSet:
    """Let two models answer every prompt, with different seeds, and assign sides at random.

    The same model twice gives two samples. Identical answers are left out, as they can't be voted
    on, and so are repeated pairs.
    """
    names = first.name, second.name
    if names[0] == names[1]:
        names = f"{names[0]}, first sample", f"{names[1]}, second sample"
    rng = random.Random(f"answers {seed} {round}")
    firsts, seconds = (
        handle.answer(prompts, replace(sampling, seed=rng.randrange(2**31)))
        for handle in (first, second)
    )
    questions: dict[object, Question] = {}
    for prompt, one, other in zip(prompts, firsts, seconds, strict=True):
        question = Question.shuffled(prompt, one, other, names, seed, round)
        if one != other:
            questions.setdefault(question.key, question)
    return QuestionSet(list(questions.values()), len(prompts) - len(questions))


def simulated_voter(reward: Reward, scale: float = 8.0, seed: int = 0) -> Voter:
    """Votes by the Bradley-Terry model: a over b with probability sigma(scale * (r_a - r_b)).

    The vote on a question depends only on the question and the seed.
    """

    def vote(question: Question) -> str:
        difference = reward(question.prompt, question.a) - reward(question.prompt, question.b)
        rng = random.Random(f"vote {seed} {question.prompt} {question.a} {question.b}")
        p = 0.5 + 0.5 * math.tanh(scale * difference / 2)  # sigma, without overflow
        return "a" if rng.random() < p else "b"

    return vote


def implicit_margins(
    policy: ModelHandle, reference: ModelHandle, questions: Sequence[Question]
) -> Tensor:
    """(question,) implicit reward of a minus that of b, in units of beta; positive favours a."""
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
    """Share of the votes for a or b, 0 to 1, that agree with the implicit reward.

    Meaningful only for votes that were not trained on. A margin of exactly 0 counts one half;
    without votes for a or b the result is NaN.
    """
    decided = [vote for vote in votes if vote.vote in ("a", "b")]
    if not decided:
        return math.nan
    margins = implicit_margins(policy, reference, decided)
    signs = torch.tensor([1.0 if vote.vote == "a" else -1.0 for vote in decided])
    return (((margins * signs).sign() + 1) / 2).mean().item()
