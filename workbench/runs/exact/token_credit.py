"""DPO token by token, in trees where Q* and V* are known."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from workbench.core.tabular import TokenTree

STEPS = (0, 10, 30, 100, 300)


def token_credit(tree: TokenTree, completion: str, beta: float) -> pd.DataFrame:
    """One row per token of a completion, in units of the reward.

    Returns:
        Columns token, reward: what it earns, q and v: Q* of the token and V* of the state before
        it, and implicit: beta log(pi* / pi_ref), from the best policy over whole completions.
    """
    path = tree.path(completion)
    (q, v), policy = tree.values(beta), tree.optimum(beta)
    implicit = tree.token_rewards(policy, beta)
    rows = []
    for t, token in enumerate(path):
        now, before = path[: t + 1], path[:t]
        numbers = (tree.rewards[t][now], q[t][now], v[t][before], implicit[t][now])
        rows.append((tree.tokens[token], *(number.item() for number in numbers)))
    return pd.DataFrame(rows, columns=["token", "reward", "q", "v", "implicit"])


def tree_descent(
    seeds: Sequence[int], beta: float = 1.0, steps: Sequence[int] = STEPS, lr: float = 8.0
) -> pd.DataFrame:
    """DPO on whole completions of a random tree, by plain gradients from the reference.

    Returns:
        Columns seed, step, and apart: the largest difference, over all tokens of the tree, between
        the implicit reward and the optimal advantage Q* - V*.
    """
    rows = []
    for seed in seeds:
        tree = TokenTree.random(3, 3, seed)
        wanted = tree.advantages(beta)
        for step, policy in enumerate(tree.descend(beta, max(steps), lr)):
            if step in steps:
                found = tree.token_rewards(policy, beta)
                both = zip(found, wanted, strict=True)
                apart = max((ours - theirs).abs().max().item() for ours, theirs in both)
                rows.append((seed, step, apart))
    return pd.DataFrame(rows, columns=["seed", "step", "apart"])
