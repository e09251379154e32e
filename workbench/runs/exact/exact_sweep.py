"""DPO for many betas and seeds in a world small enough to enumerate: every number exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from workbench.core.displacement import pair_probabilities
from workbench.core.losses import check_parameter
from workbench.core.tabular import TabularWorld, descend, expected, expected_loss, kl
from workbench.errors import WorkbenchError

KL, REWARD = "kl/policy_reference", "reward"


def tabular_sweep(
    world: TabularWorld,
    betas: Sequence[float],
    seeds: Sequence[int],
    pairs: int = 100,
    steps: int = 300,
    eval_every: int = 25,
) -> Iterator[pd.DataFrame]:
    """DPO on a finite set of labelled pairs for every beta and seed, measured exactly.

    Args:
        pairs: how many are drawn for each prompt, by `sample_pairs`; a seed draws its own.
        steps: of full-batch gradient descent, each as long as the curvature allows; for DPO that is
            in proportion to 1 / beta^2. After as many steps on the same pairs, beta times the
            log-ratio is then the same for all betas.

    Yields:
        After each seed the rows of all runs so far: `beta`, `seed`, `step`, and the means over
        prompts of `kl/policy_reference` in nats and of `reward`.

    Raises:
        WorkbenchError: at once, for an empty list, a beta that is not above 0, or no pairs.
    """
    for name, values in {"betas": betas, "seeds": seeds}.items():
        if not len(values):
            raise WorkbenchError(f"{name} is empty; at least one value is needed")
    if eval_every < 1:
        raise WorkbenchError(f"eval_every={eval_every!r} is not accepted: a whole number from 1")
    for beta in betas:
        check_parameter("beta", beta)
    drawn = {seed: sample_pairs(world, pairs, seed) for seed in seeds}
    scale = torch.tensor(betas, dtype=torch.float64)[:, None, None]

    def go() -> Iterator[pd.DataFrame]:
        rows: list[tuple[float, int, int, float, float]] = []
        for seed, counts in drawn.items():
            # With these step lengths one descent serves all betas: DPO at beta 1 fits the reward
            # log(pi / pi_ref), and another beta has reached pi_ref * exp(that / beta).
            for at in descend(world, 1.0, steps=steps, preferences=counts):
                if at.step % eval_every == 0 or at.step == steps:
                    fitted = at.logps - world.reference_logps
                    logps = (world.reference_logps + fitted / scale).log_softmax(-1)  # (beta, ...)
                    distances = kl(logps, world.reference_logps).mean(-1).tolist()
                    rewards = expected(logps, world.rewards).mean(-1).tolist()
                    for beta, distance, reward in zip(betas, distances, rewards, strict=True):
                        rows.append((beta, seed, at.step, distance, reward))
            yield pd.DataFrame(rows, columns=["beta", "seed", "step", KL, REWARD])

    return go()


def sample_pairs(world: TabularWorld, pairs: int, seed: int) -> Tensor:
    """Counts (prompt, response, response): how often the first was preferred to the second.

    `pairs` a prompt, drawn by `pair_probabilities`. Fits `expected_loss` and `descend` as
    `preferences`.
    """
    if pairs < 1:
        raise WorkbenchError(f"pairs={pairs!r} is not accepted: a whole number, 1 or more")
    chances = pair_probabilities(world)
    flat = chances.flatten(1)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(flat, pairs, replacement=True, generator=generator)
    counts = torch.zeros_like(flat).scatter_add_(1, drawn, torch.ones_like(drawn, dtype=flat.dtype))
    return counts.reshape(chances.shape)


def fixed_budget(
    world: TabularWorld,
    betas: Sequence[float],
    lrs: Sequence[float],
    steps: int,
    adam: bool = False,
) -> Tensor:
    """Where DPO stands after each step, log-probabilities (lr, beta, step, prompt, response).

    Full-batch descent from the reference on the whole population's preferences, by plain gradients
    or by AdamW as the training loop sets it. All policies take their steps at once.
    """
    scale = torch.tensor(betas, dtype=torch.float64)[:, None, None]
    reference = world.reference_logps
    logits = [reference.repeat(len(betas), 1, 1).requires_grad_() for _ in lrs]
    groups = [{"params": [table], "lr": lr} for table, lr in zip(logits, lrs, strict=True)]
    optimizer: torch.optim.Optimizer = torch.optim.SGD(groups)
    if adam:
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
    reached = []
    for _ in range(steps + 1):
        logps = torch.stack(logits).log_softmax(-1)
        reached.append(logps.detach())
        # DPO knows beta only as a factor of the log-ratios, so each row can have its own. The loss
        # is summed over rows, so that no row's gradient depends on another row.
        value = expected_loss(scale * logps, scale * reference, world.preferences, "dpo", beta=1.0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return torch.stack(reached, -3)
