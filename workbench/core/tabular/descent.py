"""The loss over all pairs of an enumerable world, and gradient descent on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.core.losses import PairLogps, find_loss
from workbench.core.tabular.closed_forms import kl
from workbench.core.tabular.tabular_world import TabularWorld
from workbench.errors import WorkbenchError


def expected_loss(
    policy_logps: Tensor,
    reference_logps: Tensor,
    preferences: Tensor,
    loss: str = "dpo",
    **parameters: float,
) -> Tensor:
    """The mean of a preference loss over all pairs of different responses, ().

    Args:
        policy_logps, reference_logps: (..., response).
        preferences: (..., response, response) weight of the pair that prefers i to j: probabilities
            for the whole population, counts for a finite sample of labels.
        loss: a name in LOSSES; `parameters` are passed on to it.

    Raises:
        WorkbenchError: an unknown loss, or one that needs lengths or a batch; here are none.
    """
    function = find_loss(loss, "preference")
    if function.needs_step:
        raise WorkbenchError(f"loss={loss!r} sorts the pairs of a batch; here are all pairs")
    count = policy_logps.shape[-1]
    i, j = (~torch.eye(count, dtype=torch.bool, device=policy_logps.device)).nonzero().T
    logps = PairLogps(
        policy_logps[..., i], policy_logps[..., j], reference_logps[..., i], reference_logps[..., j]
    )
    weights = preferences[..., i, j]
    return (weights * function(logps, **parameters)).sum() / weights.sum()


@dataclass(frozen=True)
class Descent:
    """Where gradient descent stands: after `step` steps, log-probabilities (prompt, response),
    the loss, and `kl`, the mean over prompts of KL(policy || optimum)."""

    step: int
    logps: Tensor
    loss: float
    kl: float


def descend(
    world: TabularWorld,
    beta: float,
    loss: str = "dpo",
    steps: int = 200,
    lr: float | None = None,
    seed: int | None = None,
    preferences: Tensor | None = None,
) -> Iterator[Descent]:
    """Plain gradient descent on `expected_loss`, step 0 included.

    Args:
        beta: of the loss and of the optimum that `kl` is measured to.
        lr: step length on the logits. Left open: the inverse of the loss's largest curvature, with
            which dpo, cdpo and ipo cannot overshoot.
        seed: of random logits to start from; None starts at the reference.
        preferences: see `expected_loss`; left open: the world's own.
    """
    weights = world.preferences if preferences is None else preferences
    lr = _inverse_curvature(weights, beta, loss) if lr is None else lr
    logits = world.reference_logps.clone()
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(logits.shape, generator=generator, dtype=logits.dtype)
    optimum = world.optimum(beta)
    for step in range(steps + 1):
        with torch.enable_grad():
            logits.requires_grad_()
            logps = logits.log_softmax(-1)
            value = expected_loss(logps, world.reference_logps, weights, loss, beta=beta)
            (gradient,) = torch.autograd.grad(value, logits)
        logps = logps.detach()
        yield Descent(step, logps, value.item(), kl(logps, optimum).mean().item())
        logits = logits.detach() - lr * gradient


def _inverse_curvature(preferences: Tensor, beta: float, loss: str) -> float:
    """A bound on the loss's second derivative by the logits, inverted.

    A pair's loss bends by c with its margin; c is largest where the margin is 0 for losses of the
    logistic kind, and the same everywhere for ipo. Margins are differences of logits, so the
    Hessian is at most c times the Laplacian of the graph that the weighted pairs make.
    """
    margin = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros_like(margin)
    with torch.enable_grad():
        value = find_loss(loss, "preference")(PairLogps(margin, zero, zero, zero), beta=beta).sum()
        (slope,) = torch.autograd.grad(value, margin, create_graph=True)
        bend = torch.autograd.grad(slope, margin)[0].item() if slope.requires_grad else 0.0
    pairs = preferences.clone()
    pairs.diagonal(dim1=-2, dim2=-1).zero_()
    weights = (pairs + pairs.mT) / pairs.sum()
    laplacian = torch.diag_embed(weights.sum(-1)) - weights
    return 1 / ((bend or beta**2 / 4) * torch.linalg.eigvalsh(laplacian).max().item())
