"""Completions of a few tokens as a tree, where the token-level theory of DPO can be computed.

A state is the prompt with the tokens so far, an action the next token. With the KL to the reference
as its cost, the best policy is found by backward recursion (Rafailov et al. 2024, "From r to Q*",
section 4.1). Tables come in levels: level t has one axis of the vocabulary for each token so far
and one for the next, (vocab,) * (t + 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from workbench.core.losses import check_parameter
from workbench.core.tabular.closed_forms import log_partition, optimal_logps, preferences
from workbench.core.tabular.descent import expected_loss
from workbench.core.tabular.maximum_likelihood import minimise
from workbench.errors import WorkbenchError

Levels = tuple[Tensor, ...]


@dataclass(frozen=True)
class TokenTree:
    """All completions of one prompt with a fixed number of tokens, a reference, and rewards.

    Attributes:
        tokens: the vocabulary.
        reference_logps: levels of next-token log-probabilities; normalised here.
        rewards: levels of the reward of each token after those before it. The reward of a
            completion is their sum; a reward of the whole is one of the last token.
    """

    tokens: tuple[str, ...]
    reference_logps: Levels
    rewards: Levels

    def __post_init__(self) -> None:
        for name in ("reference_logps", "rewards"):
            levels = tuple(table.double() for table in getattr(self, name))
            found = [tuple(table.shape) for table in levels]
            wanted = [(len(self.tokens),) * (t + 1) for t in range(len(self.rewards))]
            if found != wanted:
                raise WorkbenchError(f"{name} has levels of shape {found}; accepted: {wanted}")
            object.__setattr__(self, name, levels)
        normalised = tuple(table.log_softmax(-1) for table in self.reference_logps)
        object.__setattr__(self, "reference_logps", normalised)

    @classmethod
    def example(cls) -> TokenTree:
        """Three words: "good" earns 1 and "bad" -1, "not" nothing, but it turns the next one."""
        words = {"not": (0.3, 0.0), "good": (0.3, 1.0), "bad": (0.4, -1.0)}
        chances, earned = torch.tensor(list(words.values()), dtype=torch.float64).T
        turned = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)  # by the word before
        second = turned[:, None] * earned + 0.0  # no -0; (word, next)
        levels = (earned, second, second.expand(3, 3, 3))
        reference = tuple(chances.log().expand(table.shape) for table in levels)
        return cls(tuple(words), reference, levels)

    @classmethod
    def random(cls, vocab: int, depth: int, seed: int) -> TokenTree:
        """Standard normal logits and rewards of tokens, for checks on many trees."""
        generator = torch.Generator().manual_seed(seed)
        shapes = [(vocab,) * (t + 1) for t in range(depth)] * 2
        drawn = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        names = tuple(f"token {index + 1}" for index in range(vocab))
        return cls(names, tuple(drawn[:depth]), tuple(drawn[depth:]))

    @property
    def completions(self) -> tuple[str, ...]:
        """Their texts, in the order of `completion_sums`."""
        return tuple(map(" ".join, product(self.tokens, repeat=len(self.rewards))))

    def path(self, completion: str) -> tuple[int, ...]:
        """The indices of a completion's tokens."""
        paths = product(range(len(self.tokens)), repeat=len(self.rewards))
        found = dict(zip(self.completions, paths, strict=True)).get(completion)
        if found is None:
            raise WorkbenchError(
                f"completion={completion!r} is not accepted: {len(self.rewards)} tokens such as "
                f"{self.completions[0]!r}"
            )
        return found

    def paid_at_end(self) -> TokenTree:
        """The same rewards of completions, all of them earned by the last token."""
        *before, last = self.rewards
        paid = completion_sums(self.rewards).reshape(last.shape)
        levels = (*map(torch.zeros_like, before), paid)
        return TokenTree(self.tokens, self.reference_logps, levels)

    def values(self, beta: float) -> tuple[Levels, Levels]:
        """Q* and V* of the KL-regularised problem, in units of the reward.

        Q*(s, a) = r(s, a) + V*(s a), with V* = 0 behind the last token, and
        V*(s) = beta log sum_a pi_ref(a|s) exp(Q*(s, a) / beta).

        The reference stands in V* here. The paper adds beta log pi_ref(a|s) to the reward instead:
        its Q* is this one plus beta log pi_ref(a|s), its V* the same.

        Returns:
            levels of Q* (vocab,) * (t + 1), and levels of V* (vocab,) * t, the root's first.
        """
        q: list[Tensor] = []
        v: list[Tensor] = []
        after = torch.zeros((), dtype=torch.float64)
        for reference, rewards in zip(self.reference_logps[::-1], self.rewards[::-1], strict=True):
            q.insert(0, rewards + after)
            after = log_partition(reference, q[0], beta) * beta
            v.insert(0, after)
        return tuple(q), tuple(v)

    def advantages(self, beta: float) -> Levels:
        """Q*(s, a) - V*(s), which is beta log(pi*(a|s) / pi_ref(a|s))."""
        return tuple(q - v[..., None] for q, v in zip(*self.values(beta), strict=True))

    def optimum(self, beta: float) -> Levels:
        """The best policy of the sequence-level problem, pi_ref(y) exp(r(y) / beta) / Z, in levels:
        without Q* and V*, by summing over all completions that begin alike."""
        reference, rewards = map(completion_sums, (self.reference_logps, self.rewards))
        joint = optimal_logps(reference, rewards, beta).reshape(self.rewards[-1].shape)
        begun = [joint]  # log-probability of each prefix, the longest first
        for _ in self.rewards:
            begun.append(begun[-1].logsumexp(-1))
        both = zip(begun[-2::-1], begun[:0:-1], strict=True)
        return tuple(longer - shorter[..., None] for longer, shorter in both)

    def token_rewards(self, policy: Sequence[Tensor], beta: float) -> Levels:
        """beta log(pi / pi_ref) of each token: the implicit rewards of a policy given in levels."""
        check_parameter("beta", beta)
        both = zip(policy, self.reference_logps, strict=True)
        return tuple(beta * (ours - theirs) for ours, theirs in both)

    @property
    def preferences(self) -> Tensor:
        """(1, completion, completion): Bradley-Terry on the rewards of whole completions."""
        return preferences(completion_sums(self.rewards)[None])

    def dpo_loss(self, policy: Sequence[Tensor], beta: float) -> Tensor:
        """DPO's loss of a policy in levels over all pairs of completions, (); it sees nothing but
        the sums over tokens."""
        ours, theirs = (completion_sums(levels)[None] for levels in (policy, self.reference_logps))
        return expected_loss(ours, theirs, self.preferences, "dpo", beta=beta)

    def fit_dpo(self, beta: float) -> Levels:
        """The policy that DPO ends at, from the reference, in levels of log-probabilities."""
        start = torch.cat([table.flatten() for table in self.reference_logps])
        return self._policy(minimise(lambda flat: self.dpo_loss(self._policy(flat), beta), start))

    def descend(self, beta: float, steps: int, lr: float) -> Iterator[Levels]:
        """The policies of plain gradient descent on the DPO loss, the reference first."""
        flat = torch.cat([table.flatten() for table in self.reference_logps])
        slope = torch.func.grad(lambda at: self.dpo_loss(self._policy(at), beta))
        for _ in range(steps + 1):
            yield self._policy(flat)
            flat = flat - lr * slope(flat)

    def _policy(self, flat: Tensor) -> Levels:
        """All logits in one row -> levels of log-probabilities."""
        parts = flat.split([table.numel() for table in self.rewards])
        both = zip(parts, self.rewards, strict=True)
        return tuple(part.reshape(table.shape).log_softmax(-1) for part, table in both)


def completion_sums(levels: Sequence[Tensor]) -> Tensor:
    """(completion,): the sum of a table's entries along each completion."""
    depth = len(levels)
    total = sum(table[(...,) + (None,) * (depth - 1 - t)] for t, table in enumerate(levels))
    assert isinstance(total, Tensor)
    return total.flatten()
