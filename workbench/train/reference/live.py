"""The frozen model.

Three ways to have its log-probabilities, tested equal: a frozen copy scored at every step, adapters
switched off, and the `values`, computed once.
"""

from __future__ import annotations

import copy
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.core.batch import SequenceBatch
from workbench.core.fast.bf16_weights import matrices
from workbench.core.policy import Policy
from workbench.data.cache import atomic_write
from workbench.train.method import shorter
from workbench.train.precision import computing

PARKED = "dpo-reference-"
LOCKED_BY = 60.0  # seconds after which a temporary folder has its lock for sure


def freeze(
    policy: Policy, precision: str, copied: Callable[[Policy], Policy] = copy.deepcopy
) -> Policy:
    """A copy of `policy` that can't be trained.

    With bf16 its matrices are kept in bf16, as the policy's are while it computes: the values are
    the same and take half the memory.
    """
    frozen = copied(policy).requires_grad_(False)
    if precision == "bf16":
        for module in matrices(frozen):
            module.to(torch.bfloat16)
    return frozen


class LiveReference:
    """A frozen model that is computed whenever its values are wanted.

    Args:
        model: the model, or a function that makes it when it is first used.
        off: a context within which `model` is the reference, where policy and reference are one
            module: adapters switched off.
    """

    def __init__(
        self,
        model: Policy | Callable[[], Policy],
        device: str = "cpu",
        precision: str = "float32",
        off: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._made = model if isinstance(model, Policy) else None
        self._make = model
        self._device, self._precision, self._off = device, precision, off
        self._parked: Path | None = None
        self._lock: FileLock | None = None
        self._users = 0

    @property
    def model(self) -> Policy:
        """The model; its weights are in memory within `active`."""
        if self._made is None:
            self._made = self._make()
        assert isinstance(self._made, Policy)
        return self._made

    @property
    def loaded(self) -> bool:
        """Whether the model was made so far."""
        return self._made is not None

    @contextmanager
    def active(self) -> Iterator[None]:
        """A context within which `model` is the reference, in memory.

        Several may enter and leave it in any order: the last to leave parks it again.
        """
        if self._parked is not None and not self._users:
            self.model.load_state_dict(load_file(self._parked), assign=True)
        self._users += 1
        try:
            with self._off():
                yield
        finally:
            self._users -= 1
            if self._parked is not None and not self._users:
                self.model.to("meta")

    def park(self) -> None:
        """Keep the weights in a temporary file except within `active`.

        Where its values on the data are cached, it only answers prompts now and then, and reading
        the file takes less than a second.
        """
        folder, self._lock = _own_folder()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = folder / "reference.safetensors"
        atomic_write(path, lambda part: save_file(self.model.state_dict(), part))
        self._parked = path
        self.model.to("meta")

    @torch.no_grad()
    def sums(self, batch: SequenceBatch, paired: bool = False) -> dict[str, Tensor]:
        """`logps` and, of pairs, `beyond`, (sequence,) each, by one forward pass."""
        with self.active(), computing(self.model, self._device, self._precision):
            scored = self.model(batch)
            found = {"logps": scored.sums(batch.sequences)}
            if paired:
                found["beyond"] = scored.sums(batch.sequences, shorter(batch))
        return found

    def logps(self, batch: SequenceBatch) -> Tensor:
        """(sequence,) summed log-probabilities."""
        return self.sums(batch)["logps"]

    def beyond(self, batch: SequenceBatch) -> Tensor:
        """(sequence,) those of the tokens beyond the length of a pair's shorter completion."""
        return self.sums(batch, paired=True)["beyond"]


def _own_folder() -> tuple[Path, FileLock]:
    """A temporary folder, and a lock that ends with this process; those of killed ones go now."""
    for other in Path(gettempdir()).glob(f"{PARKED}*"):
        with suppress(OSError, Timeout):
            if time.time() - other.stat().st_mtime > LOCKED_BY and (other / "lock").exists():
                with FileLock(other / "lock", timeout=0):
                    shutil.rmtree(other, ignore_errors=True)
    folder = Path(mkdtemp(prefix=PARKED))
    lock = FileLock(folder / "lock", thread_local=False)
    lock.acquire()
    return folder, lock
