"""A checkpoint of a run: written in one step with the SHA-256 of its files, checked when read.

    step-000120/policy.safetensors      the trainable weights
                state.json              step, live settings, batches; what the run was made with
                optimizer.safetensors   the optimiser's state     } where the run can go on from it
                events.jsonl            the run's events so far   }
                files.json              the SHA-256 of each of these

A run whose weights are sharded has folders policy/ and optimizer/ in place of those two files, with
a file of each process.

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
from workbench.train import distributed

POLICY, STATE, OPTIMIZER = "policy.safetensors", "state.json", "optimizer.safetensors"
POLICY_SHARDS, OPTIMIZER_SHARDS = "policy", "optimizer"
EVENTS = "events.jsonl"
TO_GO_ON = (OPTIMIZER, OPTIMIZER_SHARDS, EVENTS)


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was made."""
    return int(checkpoint.name.removeprefix("step-"))


def write_checkpoint(
    path: Path,
    policy: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    state: Mapping[str, Any],
    events: bytes,
) -> None:
    """Write a checkpoint in one step; one of this step that can be gone on from is kept.

    Without an optimiser it is the last of a run that has finished. Where the policy is sharded, the
    other processes call `join_checkpoint`.
    """
    if path.exists():
        if optimizer is None or ((path / DIGESTS).exists() and can_go_on(path)):
            join_checkpoint(None, policy, optimizer)
            return  # the run would only write the same again
        remove_checkpoint(path)

    def write(part: Path) -> None:
        if distributed.is_sharded(policy):
            join_checkpoint(part, policy, optimizer)
        else:
            save_file(distributed.whole_state(policy), part / POLICY)
            if optimizer is not None:
                save_file(_on_processor(_flatten(optimizer)), part / OPTIMIZER)
        (part / STATE).write_text(json.dumps(state), encoding="utf-8")
        if optimizer is not None:
            (part / EVENTS).write_bytes(events)
        write_digests(part)

    with naming(path):
        atomic_folder(path, write)


def join_checkpoint(
    part: Path | None, policy: nn.Module, optimizer: torch.optim.Optimizer | None
) -> None:
    """Write this process's shards to the folder that the main process names; all call it together.

    Nothing is written where that is None, or the policy is not sharded.
    """
    if not distributed.is_sharded(policy):
        return
    folder = distributed.from_main(lambda: part)
    if folder is None:
        return
    weights = distributed.trainable(policy).items()
    distributed.save_shards(folder / POLICY_SHARDS, {name: w.detach() for name, w in weights})
    if optimizer is not None:
        distributed.save_shards(folder / OPTIMIZER_SHARDS, _flatten(optimizer))


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
        if not (path / POLICY).exists() and not (path / POLICY_SHARDS).exists():
            return f"{POLICY} is missing"
    except (WorkbenchError, OSError, SafetensorError) as error:
        return str(error)
    return damage(path, lambda name: to_go_on or name.partition("/")[0] not in TO_GO_ON)


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
    if distributed.is_sharded(policy):
        _load_shards(path, policy, optimizer)
        return
    weights = _read(path / POLICY, "the checkpoint can't be read without it")
    distributed.load_whole_state(policy, weights)
    if optimizer is not None:
        moments = _read(path / OPTIMIZER, "the run can't go on without it")
        _unflatten(optimizer, moments)


def _load_shards(path: Path, policy: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
    """As `load_tensors`, each process its own shards, from a checkpoint that may be whole."""
    where = path / POLICY_SHARDS if (path / POLICY_SHARDS).is_dir() else path
    weights, found = distributed.trainable(policy), distributed.shapes_in(where)
    distributed.require_names(weights, found if where != path else weights)
    distributed.load_shards(where, {name: weight.detach() for name, weight in weights.items()})
    if optimizer is None:
        return
    where = path / OPTIMIZER_SHARDS if where != path else path
    moments = {}
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    for name, (size, _) in distributed.shapes_in(where).items():
        number = name.partition(".")[0]
        if number.isdigit() and int(number) < len(trained):
            weight = trained[int(number)].detach()
            moments[name] = torch.zeros_like(weight) if size else torch.zeros(())
    distributed.load_shards(where, moments)
    _unflatten(optimizer, moments)


def _read(path: Path, without: str) -> dict[str, Tensor]:
    if (shards := path.with_suffix("")).is_dir():
        return distributed.load_whole(shards)
    if not path.exists():
        raise WorkbenchError(f"{path} is missing; {without}")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WorkbenchError(f"{path} can't be read: {error}") from error


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value.detach()
        for number, moments in state.items()
        for name, value in moments.items()
    }


def _on_processor(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu().contiguous() for name, value in tensors.items()}


def _unflatten(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    whole = optimizer.state_dict()
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        if name != "step" and value.shape != (shape := trained[int(number)].shape):
            value = value.view(shape)  # a single number, which older versions kept without an axis
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**whole, "state": state})
