"""A checkpoint of a run: written in one step with the SHA-256 of its files, checked when read.

    step-000120/policy.safetensors      the trainable weights
                state.json              step, live settings, batches; what the run was made with
                optimizer.safetensors   the optimiser's state     } where the run can go on from it
                events.jsonl            the run's events so far   }
                files.json              the SHA-256 of each of these

The newest two keep all of it. Older ones keep what their answers need; those made because of the
time that had passed are deleted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.data.cache import atomic_folder
from workbench.data.seals import DIGESTS, damage, write_digests
from workbench.errors import WorkbenchError
from workbench.runs.folder.config_file import naming
from workbench.train.distributed import load_whole_state

POLICY, STATE, OPTIMIZER = "policy.safetensors", "state.json", "optimizer.safetensors"
EVENTS = "events.jsonl"
TO_GO_ON = (OPTIMIZER, EVENTS)


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was made."""
    return int(checkpoint.name.removeprefix("step-"))


def write_checkpoint(
    path: Path,
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer | None,
    state: Mapping[str, Any],
    events: bytes,
) -> None:
    """Write a checkpoint in one step; one of this step that can be gone on from is kept.

    Without an optimiser it is the last of a run that has finished.
    """
    if path.exists():
        if optimizer is None or all((path / name).exists() for name in (*TO_GO_ON, DIGESTS)):
            return  # the run would only write the same again
        remove_checkpoint(path)

    def write(part: Path) -> None:
        save_file(dict(weights), part / POLICY)
        (part / STATE).write_text(json.dumps(state), encoding="utf-8")
        if optimizer is not None:
            save_file(_flatten(optimizer), part / OPTIMIZER)
            (part / EVENTS).write_bytes(events)
        write_digests(part)

    with naming(path):
        atomic_folder(path, write)


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint so that a kill leaves all of it or nothing that counts as one."""
    part = path.with_name(f".{path.name}.old.tmp")
    shutil.rmtree(part, ignore_errors=True)
    with naming(path):
        path.rename(part)
        shutil.rmtree(part, ignore_errors=True)


def read_state(path: Path) -> dict[str, Any]:
    """What a checkpoint holds besides tensors and events.

    Raises:
        WorkbenchError: it can't be read.
    """
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        if state["step"] != step_of(path):
            raise ValueError(f"it is that of step {state['step']}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WorkbenchError(f"{path / STATE} is not as it was written: {error}") from error
    return state


def problem(path: Path, to_go_on: bool = False) -> str:
    """Why a checkpoint can't be used; empty where it can.

    Args:
        path: of the checkpoint.
        to_go_on: for a run to go on from it, not only for its answers.
    """
    try:
        state = read_state(path)
        if not (path / DIGESTS).exists():
            if "config" in state:  # else its files had no SHA-256 then
                return f"{DIGESTS} is missing"
            with safe_open(path / POLICY, framework="pt"):
                return ""
    except (WorkbenchError, OSError, SafetensorError) as error:
        return str(error)
    return damage(path, None if to_go_on else (POLICY, STATE))


def can_go_on(path: Path) -> bool:
    """Whether all that a run needs to go on lies there, unread: it isn't one that was thinned."""
    with suppress(OSError, ValueError, AttributeError):
        if (path / DIGESTS).exists():
            names = json.loads((path / DIGESTS).read_text(encoding="utf-8"))
            return all((path / name).exists() for name in names)
    return True


def load_tensors(
    path: Path, policy: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Fill policy and optimiser from a checkpoint.

    Raises:
        WorkbenchError: a file is missing or can't be read, or does not fit the model.
    """
    load_whole_state(policy, _read(path / POLICY, "the checkpoint can't be read without it"))
    if optimizer is not None:
        moments = _read(path / OPTIMIZER, "the run can't go on without it")
        _unflatten(optimizer, moments)


def _read(path: Path, without: str) -> dict[str, Tensor]:
    if not path.exists():
        raise WorkbenchError(f"{path} is missing; {without}")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WorkbenchError(f"{path} can't be read: {error}") from error


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value.detach().cpu().contiguous()
        for number, moments in state.items()
        for name, value in moments.items()
    }


def _unflatten(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    whole = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**whole, "state": state})
