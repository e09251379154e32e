"""The reference: a frozen snapshot of the model in hand when the run starts.

Three ways to have its log-probabilities, tested equal: a frozen copy asked at every step, adapters
switched off, and values computed once and cached under a hash of model and data.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.core.batch import Pair, PreferenceBatch
from workbench.core.fast.bf16_weights import matrices
from workbench.core.logps import completion_logps
from workbench.data.cache import atomic_write
from workbench.train.batches import FixedBatches
from workbench.train.precision import computing


class Reference(Protocol):
    """Gives the reference's (sequence,) log-probabilities of a batch, without gradient."""

    def logps(self, batch: PreferenceBatch) -> Tensor: ...


def freeze(policy: nn.Module, precision: str) -> nn.Module:
    """A copy of `policy` that can't be trained.

    With bf16 its matrices are kept in bf16, as the policy's are while it computes: the values are
    the same and take half the memory.
    """
    frozen = copy.deepcopy(policy).requires_grad_(False)
    if precision == "bf16":
        for module in matrices(frozen):
            module.to(torch.bfloat16)
    return frozen


class LiveReference:
    """A frozen model, asked at every step; `off` switches adapters off where policy and reference
    are one module."""

    def __init__(
        self,
        model: nn.Module,
        device: str = "cpu",
        precision: str = "float32",
        off: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.model, self._device, self._precision, self._off = model, device, precision, off
        self._parked: Path | None = None
        self._askers = 0

    @contextmanager
    def active(self) -> Iterator[None]:
        """A context within which `model` is the reference, in memory.

        Streams that take turns enter and leave it in any order: the last to leave puts it away.
        """
        if self._parked is not None and not self._askers:
            self.model.load_state_dict(load_file(self._parked), assign=True)
        self._askers += 1
        try:
            with self._off():
                yield
        finally:
            self._askers -= 1
            if self._parked is not None and not self._askers:
                self.model.to("meta")

    def park(self) -> None:
        """Keep the weights in a temporary file whenever the reference is not asked.

        Where its values on the pairs are cached, it only answers prompts now and then, and a
        reading takes less than a second.
        """
        folder = mkdtemp(prefix="dpo-reference-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / "reference.safetensors"
        atomic_write(path, lambda part: save_file(self.model.state_dict(), part))
        self._parked = path
        self.model.to("meta")

    @torch.no_grad()
    def logps(self, batch: PreferenceBatch) -> Tensor:
        """(sequence,) summed log-probabilities."""
        with self.active(), computing(self.model, self._device, self._precision):
            return completion_logps(self.model, batch)  # type: ignore[arg-type]


class CachedReference:
    """Values computed once: (item, side), looked up by a batch's `index`."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def logps(self, batch: PreferenceBatch) -> Tensor:
        """(sequence,) summed log-probabilities."""
        assert batch.index is not None
        return self.values[batch.index].flatten()  # (pair side) -> sequence


def cache_key(reference_hash: str, pairs: Sequence[Pair], *conditions: str) -> str:
    """Hash of all that the values depend on: weights, token ids, precision and layout."""
    content = json.dumps([[p.prompt, p.chosen, p.rejected] for p in pairs])
    text = "\n".join([reference_hash, *conditions, content])
    return hashlib.sha256(text.encode()).hexdigest()


def cache_reference(
    reference: LiveReference,
    batches: FixedBatches,
    count: int,
    path: Path | None = None,
    device: str = "cpu",
    progress: Callable[[str, float], None] | None = None,
) -> CachedReference:
    """Score every pair once, or read the values from `path`, whose name is their `cache_key`."""
    if path is not None and path.exists():
        return CachedReference(load_file(path)["logps"].to(device))
    values = torch.zeros(count, 2, device=device)
    for number, batch in enumerate(batches.batches):
        if progress:
            progress("scoring the pairs with the reference", number / len(batches))
        here = batch.to(device)
        assert isinstance(here, PreferenceBatch)
        assert here.index is not None
        values[here.index] = reference.logps(here).view(-1, 2)
    if path is not None:
        atomic_write(path, lambda part: save_file({"logps": values.cpu()}, part))
    return CachedReference(values)
