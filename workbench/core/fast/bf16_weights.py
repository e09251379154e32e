"""bf16 copies of a policy's matrices: computed with, while the float32 weights are trained.

Autocast rounds every weight to bf16 anew in every pass and turns every gradient into float32 as
soon as it is there. Here each matrix is rounded once per step, by the optimiser that has
just written it; its gradient stays in bf16, as the product gave it, until it is read. The values
are those of autocast, with embeddings rounded too, at less time and memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from workbench.core.policy import Policy

PIECE = 1 << 20  # numbers that the optimiser works on at once: they fit a processor's cache


def matrices(policy: Policy) -> list[nn.Linear | nn.Embedding]:
    """The layers whose weights are rounded: linear ones, and the embedding of our decoder where it
    computes with copies; autocast alone leaves embeddings as they are."""
    weight = next(policy.parameters())
    copied = policy.rounds_embeddings and not policy.kernels.plain and weight.device.type == "cpu"
    kinds = (nn.Linear, nn.Embedding) if copied else nn.Linear
    return [module for module in policy.modules() if isinstance(module, kinds)]


class BF16Weights:
    """The copies of one policy; within `active` it computes with them.

    Matrices that are not in float32 are left as they are.
    """

    def __init__(self, policy: Policy) -> None:
        self._modules = [m for m in matrices(policy) if m.weight.dtype == torch.float32]
        self._masters = [module.weight for module in self._modules]
        self._copies: dict[Tensor, nn.Parameter] = {}
        self._sums: dict[Tensor, Tensor] = {}
        self._summed = False
        self._versions: dict[Tensor, int] = {}
        for master in self._masters:
            if master not in self._copies:  # a tied head is the embedding
                copy = master.detach().to(torch.bfloat16)
                self._copies[master] = nn.Parameter(copy, requires_grad=master.requires_grad)
                self._versions[master] = master._version
        # What a tied embedding is read through: a leaf of its own on the same memory.
        self._tied: tuple[Any, nn.Parameter, Tensor] | None = None
        if policy.tied_embedding is not None and policy.tied_embedding in self._copies:
            table = self._copies[policy.tied_embedding]
            lookup = table.detach().requires_grad_(table.requires_grad)
            self._tied = policy, table, lookup

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within it the policy's matrices are the copies, brought up to date where needed."""
        self._renew()
        for module, master in zip(self._modules, self._masters, strict=True):
            module.weight = self._copies[master]
        if self._tied:
            self._tied[0].lookup = self._tied[2]
        try:
            yield
        finally:
            if self._tied:
                self._tied[0].lookup = None
            for module, master in zip(self._modules, self._masters, strict=True):
                module.weight = master

    @torch.no_grad()
    def gather(self, first: bool, last: bool) -> None:
        """Take up the gradients of a pass; those of several are added up in float32."""
        if self._tied and (rows := self._tied[2].grad) is not None:
            _, table, lookup = self._tied
            if table.grad is None:
                table.grad = torch.zeros_like(table)
            table.grad.index_add_(0, rows._indices()[0], rows._values())
            lookup.grad = None
        self._summed = not (first and last)
        if not self._summed:
            return
        for master, copy in self._copies.items():
            if copy.grad is None:
                continue
            if first and master not in self._sums:
                self._sums[master] = torch.empty_like(master)
            total, gradient = self._sums[master].view(-1), copy.grad.flatten()
            for start in range(0, len(total), PIECE):
                span = slice(start, start + PIECE)
                if first:
                    total[span].copy_(gradient[span])
                else:  # a sum of two types would make a copy of all in float32 first
                    total[span] += gradient[span].float()
            copy.grad = None

    def gradients(self, weight: Tensor) -> list[Tensor]:
        """What has to be added up to the gradient of a trained weight."""
        copy = self._copies.get(weight)
        found = [weight.grad]
        if copy is not None:
            found.append(self._sums.get(weight) if self._summed else copy.grad)
        return [gradient for gradient in found if gradient is not None]

    @torch.no_grad()
    def pieces(self, weights: list[Tensor]) -> Iterator[tuple[Tensor, slice, Tensor]]:
        """(weight, slice of it, its gradient in float32); the last is overwritten by the next."""
        scratch = torch.empty(PIECE)
        for weight in weights:
            parts = [part.flatten() for part in self.gradients(weight)]
            for start in range(0, weight.numel() if parts else 0, PIECE):
                span = slice(start, min(start + PIECE, weight.numel()))
                here = scratch[: span.stop - start].copy_(parts[0][span])
                for part in parts[1:]:
                    here += part[span]
                yield weight, span, here

    @torch.no_grad()
    def step(self, optimizer: torch.optim.AdamW, max_norm: float) -> Tensor:
        """Clip the gradients to `max_norm` and let AdamW write the weights and their copies.

        Returns the gradient's norm before it was clipped; where that is not finite, nothing is
        changed. The numbers are those of `optimizer.step()`, which would need every gradient in
        float32 at once.
        """
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        norm = sum((here.dot(here) for _, _, here in self.pieces(weights)), torch.zeros(())).sqrt()
        if not torch.isfinite(norm):
            return norm
        share = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
        for group in optimizer.param_groups:
            for weight, span, here in self.pieces(group["params"]):
                _update(optimizer, group, weight, span, here.mul_(share))
                if weight in self._copies:  # while the piece is in the processor's cache
                    self._copies[weight].data.view(-1)[span] = weight.view(-1)[span]
            for weight in group["params"]:
                if weight in optimizer.state:
                    optimizer.state[weight]["step"] += 1
        for master, copy in self._copies.items():
            copy.grad, self._versions[master] = None, master._version
        return norm

    def _renew(self) -> None:
        """Round anew what has changed."""
        for master, copy in self._copies.items():
            if master._version != self._versions[master]:
                copy.data.copy_(master.data)
                self._versions[master] = master._version


def _update(
    optimizer: torch.optim.AdamW, group: dict[str, Any], weight: Tensor, span: slice, here: Tensor
) -> None:
    """AdamW on a piece of a weight whose gradient is `here`."""
    state = optimizer.state[weight]
    if not state:
        state["step"] = torch.zeros(())
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
    adamw(
        [weight.view(-1)[span]],
        [here],
        [state["exp_avg"].view(-1)[span]],
        [state["exp_avg_sq"].view(-1)[span]],
        [],
        [state["step"].clone()],  # counted once per step, not per piece
        fused=True,
        amsgrad=False,
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )
