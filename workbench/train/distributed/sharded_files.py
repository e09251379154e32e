"""Tensors that several processes hold in shares, on disk: `torch.distributed.checkpoint`.

A folder holds one safetensors file per process, written by it alone, with the place of each shard.
Any number of processes can read it, each what it holds itself; one reads all. Nothing is a pickle.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.train.distributed.processes import world_size


def save_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write this process's shards of `tensors`; all processes call it together."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    with _naming(folder):
        save(
            dict(tensors),
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
        )


def shapes_in(folder: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Shape and type of each tensor in the safetensors files of a folder."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    with _naming(folder):
        found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
        return {name: (one.size, one.properties.dtype) for name, one in found.items()}  # type: ignore[union-attr]


def load_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill `tensors`, in place, from the safetensors files of a folder.

    Of shards each process reads its own; several processes call it together.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    with _naming(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that one process alone reads
        alone = world_size() == 1
        load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=alone)


def load_whole(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, put together from their shards."""
    tensors = {
        name: torch.empty(size, dtype=kind) for name, (size, kind) in shapes_in(folder).items()
    }
    load_shards(folder, tensors)
    return tensors


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """What goes wrong with a file, by the name of its folder."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as error:
        number, (cause, _) = next(iter(error.failures.items()))
        raise WorkbenchError(f"{folder}, in process {number}: {cause}") from error
    except (OSError, SafetensorError, ValueError, KeyError, AssertionError) as error:
        raise WorkbenchError(f"{folder} can't be read: {error}") from error
