"""The exercises: every step from the RLHF objective to the DPO loss, and related quantities.

A new exercise is one decorated function here, with the name, parameters and value that a learner's
function should have; the docstring gives the shapes and the source.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from workbench.core import logps, metrics, tabular
from workbench.core.losses import LOSSES, LabelledLogps, PairLogps, log_sigmoid
from workbench.exercises import far_inputs as far
from workbench.exercises import random_inputs as inputs
from workbench.exercises.registry import Rows, exercise


@exercise(
    inputs.tables,
    hint="Both terms are sums over the responses, weighted by the policy. The logarithm in the KL "
    "is of policy over reference, and beta times the KL is subtracted.",
)
def objective(policy: Tensor, reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """E[r] - beta KL(policy || reference), probabilities (..., response) -> (...);
    Rafailov et al. 2023, eq. 3."""
    return tabular.objective(policy.log(), reference.log(), rewards, beta)


@exercise(
    lambda numbers: (case[1:] for case in inputs.tables(numbers)),
    hint="Weigh the reference's probabilities by exp(reward / beta), then divide by their sum over "
    "the last axis, with keepdim=True. Or take the softmax of log reference + reward / beta, which "
    "cannot overflow.",
    far=far.TABLES,
)
def optimal_policy(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """The policy that maximises the objective, (..., response) -> (..., response);
    Rafailov et al. 2023, eq. 4."""
    return tabular.optimal_logps(reference.log(), rewards, beta).exp()


@exercise(
    lambda numbers: (case[1:] for case in inputs.tables(numbers)),
    hint="Z is what the weights of the optimal policy sum to: reference times exp(reward / beta), "
    "over the last axis. Its logarithm is wanted: logsumexp of log reference + reward / beta "
    "computes it without overflow.",
    far=far.TABLES,
)
def log_partition(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """log Z(x), (..., response) -> (...); Rafailov et al. 2023, below eq. 4."""
    return tabular.log_partition(reference.log(), rewards, beta)


def _optimal(numbers: inputs.Numbers) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    """Policies that are optimal for some rewards, with reference, log Z and beta."""
    for _, reference, rewards, beta in inputs.tables(numbers):
        policy = tabular.optimal_logps(reference.log(), rewards, beta).exp()
        yield policy, reference, tabular.log_partition(reference.log(), rewards, beta), beta


@exercise(
    _optimal,
    hint="Solve the optimal policy for the reward: take the logarithm, then multiply by beta, "
    "log Z included. log_partition has one axis less than the rest: log_partition[..., None].",
    far=far.PARTITIONS,
)
def reward_from_policy(
    policy: Tensor, reference: Tensor, log_partition: Tensor, beta: float
) -> Tensor:
    """The reward that the policy is optimal for, (..., response); Rafailov et al. 2023, eq. 5."""
    rewards = tabular.implied_rewards(policy.log(), reference.log(), beta)
    return rewards + beta * log_partition[..., None]


@exercise(
    inputs.rewards_of_pairs,
    hint="Only the difference of the two rewards counts, chosen minus rejected, and the logistic "
    "function makes a probability of it. Where both are equal it has to be one half.",
    far=far.REWARDS,
)
def preference_probability(chosen_reward: Tensor, rejected_reward: Tensor) -> Tensor:
    """Bradley-Terry, (pair,) -> (pair,); Rafailov et al. 2023, eq. 1."""
    return tabular.preferences(torch.stack([chosen_reward, rejected_reward], -1))[..., 0, 1]


@exercise(
    inputs.pairs,
    hint="The inputs are log-probabilities, so a log-ratio is a difference: policy minus "
    "reference, for the chosen and for the rejected. log Z is the same for both and is gone.",
    far=far.PREFERENCES,
)
def preference_from_policies(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float,
) -> Tensor:
    """P(chosen preferred) if the policy is optimal, log-probabilities (pair,) -> (pair,);
    Rafailov et al. 2023, eq. 6."""
    pairs = PairLogps(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return (beta * pairs.margins).sigmoid()


@exercise(
    inputs.pairs,
    hint="It is minus the logarithm of the probability of the step before, and the mean over the "
    "pairs. Where policy and reference agree it is log 2.",
    far=far.PAIRS,
)
def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float,
) -> Tensor:
    """The mean DPO loss, log-probabilities (pair,) -> (); Rafailov et al. 2023, eq. 7."""
    pairs = PairLogps(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return LOSSES["dpo"](pairs, beta=beta).mean()


@exercise(
    inputs.margins,
    hint="Write m = beta * margin. The derivative of -log sigma(m) by m is -sigma(-m), and the "
    "chain rule brings a beta to the front. The weight is large where the pair is still in the "
    "wrong order, and never above beta.",
    far=far.MARGINS,
)
def gradient_weight(margin: Tensor, beta: float) -> Tensor:
    """Weight of a pair in the gradient, beta sigma(-beta margin), (pair,) -> (pair,);
    Rafailov et al. 2023, section 4."""
    return beta * log_sigmoid(-beta * margin).exp()


@exercise(
    inputs.row_lengths,
    hint="Counted from 0, the completion's first token is at index prompt_length, its last at "
    "prompt_length + completion_length - 1. torch.arange(width) gives all indices.",
)
def completion_mask(prompt_length: int, completion_length: int, width: int) -> Tensor:
    """True on the scored tokens of a row that is padded on the right, (width,) bool."""
    positions = torch.arange(width)
    return (positions >= prompt_length) & (positions < prompt_length + completion_length)


@exercise(
    inputs.rows,
    hint="The logits at position t predict the token at t + 1: leave out the last logits, the "
    "first token and the first entry of the mask. log_softmax goes over the vocabulary.",
    far=far.ROWS,
)
def sequence_logp(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """The sum over scored tokens, (pos, vocab), (pos,), (pos,) -> ()."""
    return logps.sequence_logps(logps.token_logps(logits, tokens), mask)


@exercise(
    inputs.scored_texts,
    hint="One mean over all scored tokens of all rows, not a mean of the rows' means: long texts "
    "count for more. Then exp of minus that mean; it is never below 1.",
    far=far.TEXTS,
)
def perplexity(token_logps: Tensor, mask: Tensor) -> Tensor:
    """exp of minus the mean log-probability of the scored tokens, (row, pos) twice -> ()."""
    return (-token_logps[mask].mean()).exp()


@exercise(
    inputs.betas,
    hint="IPO's loss is smallest where the margin is 1 / (2 beta). Under a uniform reference the "
    "margin of two actions is log(p / (1 - p)); solve it for p.",
)
def ipo_limit(beta: float) -> Tensor:
    """Probability of the action that is always preferred, at IPO's optimum, float -> ();
    Azar et al. 2023, eq. 17, and their two-action example."""
    return torch.tensor(1 / (2 * beta), dtype=torch.float64).sigmoid()


@exercise(
    inputs.samples,
    hint="The samples come from the policy, so the plain mean over them estimates the "
    "expectation: nothing is weighted. The log-ratio is policy minus reference.",
    far=far.SAMPLES,
)
def sampled_kl(policy_logps: Tensor, reference_logps: Tensor) -> Tensor:
    """KL(policy || reference) from completions drawn from the policy, (sample,) twice -> ()."""
    estimate, _ = metrics.sampled_kl(policy_logps, reference_logps)
    return torch.tensor(estimate, dtype=torch.float64)


@exercise(
    inputs.labelled,
    hint="z is one number: the mean of the mismatched log-ratios, and 0 only where that mean is "
    "negative. Desirable: 1 - sigma(beta (log-ratio - z)); undesirable: "
    "1 - sigma(beta (z - log-ratio)). Then one mean over both kinds together.",
    far=far.LABELLED,
)
def kto_loss(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    mismatched_logratios: Tensor,
    beta: float,
) -> Tensor:
    """The mean KTO loss with both weights 1, (item,) four times -> ();
    Ethayarajh et al. 2024, eq. 7 and 8."""
    z = mismatched_logratios.mean().clamp(min=0)
    logps = LabelledLogps(policy_logps, reference_logps, desirable, z)
    return LOSSES["kto"](logps, beta=beta).mean()


@exercise(
    inputs.text_pairs,
    hint="Every pair gives two rows with the same prompt: (prompt, chosen, True) and (prompt, "
    "rejected, False). Nothing is left out, even where a text occurs twice.",
)
def kto_rows(pairs: list[inputs.TextRow]) -> Rows:
    """Rows (prompt, completion, label) from pairs (prompt, chosen, rejected), in any order."""
    sides = [((prompt, good, True), (prompt, bad, False)) for prompt, good, bad in pairs]
    return [row for pair in sides for row in pair]
