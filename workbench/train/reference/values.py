"""The reference's log-probabilities of the data, computed once and kept.

They lie in a file under a hash of all that they depend on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.core.batch import SequenceBatch
from workbench.data.cache import atomic_write, cache_folder
from workbench.data.large.lazy_items import LazyItems
from workbench.data.seals import SEAL, set_aside
from workbench.train import distributed
from workbench.train.method import token_ids
from workbench.train.reference.live import LiveReference

VALUES_FOLDER = "WORKBENCH_REFERENCE_CACHE"


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
    if isinstance(items, LazyItems):
        content = items.digest
    else:
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

    Several processes score a share of the items each.

    `shape` is (items, completions of each); `paired` where the items are pairs.
    """
    known = distributed.from_main(lambda: _values_kept(path, shape))
    if known is not None:
        return CachedReference({name: value.to(device) for name, value in known.items()})
    values = dict[str, Tensor]()
    most = -(-len(batches) // distributed.world_size())
    for number, batch in enumerate(own_share(batches)):
        if progress:
            progress("scoring the data with the reference", number / most)
        for part in batch.to(device).parts:
            assert part.index is not None
            columns = torch.tensor(part.columns, device=device)
            for name, found in reference.sums(part, paired).items():
                sums = values.setdefault(name, torch.zeros(shape, device=device))
                if batch.counts:
                    sums[part.index[:, None], columns] = found.view(-1, len(part.columns))
    values = {name: distributed.total(sums) for name, sums in values.items()}
    if path is not None and distributed.is_main():
        kept = {name: sums.cpu() for name, sums in values.items()}
        digest = {SEAL: _digest(kept)}
        atomic_write(path, lambda part: save_file(kept, part, digest))
    return CachedReference(values)


def own_share(batches: Sequence[SequenceBatch]) -> Iterator[SequenceBatch]:
    """Those that this process computes, as many as every other one; of a sequence that makes them
    when they are looked at, one at a time."""
    own, most = distributed.share(range(len(batches))), -(-len(batches) // distributed.world_size())
    yield from (batches[number] for number in own)
    yield from (replace(batches[0], counts=False) for _ in range(most - len(own)))


def _values_kept(path: Path | None, shape: tuple[int, int]) -> dict[str, Tensor] | None:
    """The values in a file; None where there are none, or damaged ones."""
    if path is None or not path.exists():
        return None
    try:
        return _read_values(path, shape)
    except (OSError, SafetensorError, ValueError) as error:
        set_aside(path, str(error))
        return None


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
