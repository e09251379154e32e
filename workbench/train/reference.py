"""The reference: a frozen snapshot of the model as it is when the run starts.

Three ways to have its log-probabilities, tested equal: a frozen copy scored at every step, adapters
switched off, and values computed once and cached under a hash of model and data.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.core.batch import SequenceBatch
from workbench.core.fast.bf16_weights import matrices
from workbench.core.policy import Policy
from workbench.data.cache import atomic_write, cache_folder
from workbench.data.seals import SEAL, set_aside
from workbench.train.method import shorter, token_ids
from workbench.train.precision import computing

PARKED = "dpo-reference-"
LOCKED_BY = 60.0  # seconds after which a temporary folder has its lock for sure
VALUES_FOLDER = "WORKBENCH_REFERENCE_CACHE"


def freeze(policy: Policy, precision: str) -> Policy:
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


class CachedReference:
    """Values computed once: (item, completion), looked up by a batch's `index` and `columns`.

    `values` holds sums by name: `logps` and, of pairs, `beyond`.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self.values = values

    def logps(self, batch: SequenceBatch) -> Tensor:
        """(sequence,) summed log-probabilities."""
        return self._find("logps", batch)

    def beyond(self, batch: SequenceBatch) -> Tensor:
        """(sequence,) those of the tokens beyond the length of a pair's shorter completion."""
        return self._find("beyond", batch)

    def _find(self, name: str, batch: SequenceBatch) -> Tensor:
        assert batch.index is not None
        return self.values[name][batch.index][:, batch.columns].flatten()


def cache_key(reference_hash: str, items: Sequence[Any], *conditions: str) -> str:
    """Hash of all that the values depend on: weights, token ids, precision and layout."""
    content = json.dumps([token_ids(item) for item in items])
    text = "\n".join([reference_hash, *conditions, content])
    return hashlib.sha256(text.encode()).hexdigest()


def values_path(key: str) -> Path:
    """Where the values of a key are kept: in the folder that the environment variable
    `WORKBENCH_REFERENCE_CACHE` names, else in the user's cache folder."""
    named = os.environ.get(VALUES_FOLDER)
    return (Path(named) if named else cache_folder() / "reference") / key


def cache_reference(
    reference: LiveReference,
    batches: Sequence[SequenceBatch],
    shape: tuple[int, int],
    path: Path | None = None,
    device: str = "cpu",
    progress: Callable[[str, float], None] | None = None,
    paired: bool = False,
) -> CachedReference:
    """Score every item once, or read the values from `path`, whose name is their `cache_key`.

    `shape` is (items, completions of each); `paired` where the items are pairs.
    """
    if path is not None and path.exists():
        try:
            kept = _read_values(path, shape)
            return CachedReference({name: value.to(device) for name, value in kept.items()})
        except (OSError, SafetensorError, ValueError) as error:
            set_aside(path, str(error))
    values = dict[str, Tensor]()
    for number, batch in enumerate(batches):
        if progress:
            progress("scoring the data with the reference", number / len(batches))
        for part in batch.to(device).parts:
            assert part.index is not None
            columns = torch.tensor(part.columns, device=device)
            for name, found in reference.sums(part, paired).items():
                sums = values.setdefault(name, torch.zeros(shape, device=device))
                sums[part.index[:, None], columns] = found.view(-1, len(part.columns))
    if path is not None:
        kept = {name: sums.cpu() for name, sums in values.items()}
        digest = {SEAL: _digest(kept)}
        atomic_write(path, lambda part: save_file(kept, part, digest))
    return CachedReference(values)


def _read_values(path: Path, shape: tuple[int, int]) -> dict[str, Tensor]:
    """Raises ValueError where they are not as they were written."""
    with safe_open(path, framework="pt") as file:
        digest = (file.metadata() or {}).get(SEAL)
    values = load_file(path)
    if digest != _digest(values) or any(value.shape != shape for value in values.values()):
        raise ValueError("its values have another SHA-256 than when they were written")
    return values


def _digest(values: Mapping[str, Tensor]) -> str:
    content = [name.encode() + value.numpy().tobytes() for name, value in sorted(values.items())]
    return hashlib.sha256(b"".join(content)).hexdigest()


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
