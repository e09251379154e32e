"""A run on disk: config, events, checkpoints, summary. Every write is atomic.

    RUN/config.toml                      every setting, filled in
    RUN/events.jsonl                     one event per line
    RUN/skipped.jsonl                    rows that can't be used, with the reason
    RUN/data.json                        hash of the rows; those held out, those cut
    RUN/self_test.json                   what was checked before the first step; the reference
    RUN/checkpoints/step-000120/         policy.safetensors, optimizer.safetensors, state.json
    RUN/summary.json                     written when the run ends

The optimiser's state is kept for the newest checkpoint only, and not for a run that finished.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.data.cache import atomic_folder
from workbench.errors import WorkbenchError
from workbench.runs.folder.config_file import config_from_toml, config_to_toml, naming, write_text
from workbench.runs.run_data import KnownData, RunData
from workbench.runs.self_test.result import SelfTest
from workbench.train.config import TrainConfig
from workbench.train.distributed import load_whole_state
from workbench.train.events import Event, event_from_dict, event_to_dict


class Record:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def refuse_existing(folder: Path) -> None:
        """Raise where the folder already holds a run."""
        if (folder / "config.toml").exists():
            raise WorkbenchError(
                f"out={str(folder)!r} already holds a run; choose another folder, "
                "or go on with that one by --resume"
            )

    @classmethod
    def create(cls, folder: Path, config: TrainConfig) -> Record:
        """A new folder with its config; one that already holds a run is refused."""
        cls.refuse_existing(folder)
        record = cls(folder)
        write_text(folder / "config.toml", config_to_toml(config))
        return record

    def config(self) -> TrainConfig:
        """The run's settings."""
        return config_from_toml(self.folder / "config.toml")

    def describe(self, data: RunData, test: SelfTest | None) -> None:
        """Write skipped.jsonl, data.json and self_test.json."""
        lines = [json.dumps(row._asdict()) + "\n" for row in data.skipped]
        write_text(self.folder / "skipped.jsonl", "".join(lines))
        truncated = [row._asdict() for row in data.truncated]
        known = {**data.known._asdict(), "truncated": truncated}
        write_text(self.folder / "data.json", json.dumps(known) + "\n")
        if test is not None:
            found = json.dumps(test.as_dict(), indent=1, ensure_ascii=False)
            write_text(self.folder / "self_test.json", found + "\n")

    def self_test(self) -> SelfTest | None:
        """What was checked before the first step; None in a folder from before it was kept."""
        path = self.folder / "self_test.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            return SelfTest.from_dict(json.loads(path.read_text(encoding="utf-8")))
        return None

    def known_data(self) -> KnownData | None:
        """What is known of the run's rows; None before a run's first checkpoint.

        Raises:
            WorkbenchError: data.json is not as it was written.
        """
        path = self.folder / "data.json"
        if not path.exists():  # as before the rows were kept
            numbers = self.numbers()
            return None if numbers is None else KnownData(numbers["data_hash"], None)
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            return KnownData(str(known["hash"]), [int(row) for row in known["held_out"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkbenchError(f"{path} is not as it was written: {error!r}") from error

    def append(self, event: Event) -> None:
        """Add one line to the events."""
        path = self.folder / "events.jsonl"
        with naming(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event_to_dict(event), ensure_ascii=False) + "\n")

    def events(self) -> list[Event]:
        """All events; a last line cut short by a kill is left out."""
        path = self.folder / "events.jsonl"
        if not path.exists():
            return []
        found = []
        for line in path.read_text(encoding="utf-8").split("\n"):
            with suppress(ValueError, KeyError, TypeError):
                found.append(event_from_dict(json.loads(line)))
        return found

    def reopen(self, events: Iterable[Event]) -> None:
        """Replace the events written so far by `events`; the run has not ended any more."""
        (self.folder / "summary.json").unlink(missing_ok=True)
        for half in (self.folder / "checkpoints").glob(".step-*.tmp"):  # of a killed process
            shutil.rmtree(half, ignore_errors=True)
        lines = [json.dumps(event_to_dict(event), ensure_ascii=False) + "\n" for event in events]
        write_text(self.folder / "events.jsonl", "".join(lines))

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        found = (self.folder / "checkpoints").glob("step-*")
        return sorted(found, key=step_of)

    def checkpoint(self, step: int | None = None) -> Path:
        """The newest checkpoint, or the one of `step`.

        Raises:
            WorkbenchError: there is none, or none of that step; those that are there are named.
        """
        found = {step_of(path): path for path in self.checkpoints()}
        if not found:
            raise WorkbenchError(f"{self.folder} has no checkpoint yet")
        if step is None:
            return found[max(found)]
        if step not in found:
            steps = ", ".join(map(str, found))
            raise WorkbenchError(f"{self.folder} has no checkpoint of step {step}; it has {steps}")
        return found[step]

    def numbers(self, step: int | None = None) -> dict[str, Any] | None:
        """What a checkpoint holds besides tensors, the newest by default; None without any."""
        if not self.checkpoints():
            return None
        return json.loads((self.checkpoint(step) / "state.json").read_text(encoding="utf-8"))

    def save_checkpoint(
        self,
        weights: dict[str, Tensor],
        optimizer: torch.optim.Optimizer | None,
        numbers: dict[str, Any],
    ) -> Path:
        """Write a checkpoint in one step, then drop the older optimiser states.

        One of this step that is there already is kept: the run would only write the same again.
        """
        path = self.folder / "checkpoints" / f"step-{numbers['step']:06d}"

        def write(part: Path) -> None:
            save_file(weights, part / "policy.safetensors")
            if optimizer is not None:
                save_file(_flatten(optimizer), part / "optimizer.safetensors")
            (part / "state.json").write_text(json.dumps(numbers), encoding="utf-8")

        if not path.exists():
            with naming(path):
                atomic_folder(path, write)
        for older in self.checkpoints()[:-1]:
            (older / "optimizer.safetensors").unlink(missing_ok=True)
        return path

    def load_checkpoint(
        self,
        policy: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        step: int | None = None,
    ) -> None:
        """Fill policy and optimiser from the newest checkpoint or the one of `step`."""
        chosen = self.checkpoint(step)
        weights = chosen / "policy.safetensors"
        if not weights.exists():
            raise WorkbenchError(f"{weights} is missing; the checkpoint can't be read without it")
        load_whole_state(policy, load_file(weights))
        if optimizer is not None:
            moments = chosen / "optimizer.safetensors"
            if not moments.exists():
                raise WorkbenchError(f"{moments} is missing; the run can't go on without it")
            _unflatten(optimizer, load_file(moments))

    def summarise(self, summary: dict[str, Any]) -> None:
        """Write summary.json."""
        write_text(self.folder / "summary.json", json.dumps(summary, indent=1) + "\n")

    def summary(self) -> dict[str, Any] | None:
        """The summary of a run that ended, or None."""
        path = self.folder / "summary.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was made."""
    return int(checkpoint.name.removeprefix("step-"))


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value.detach().cpu().contiguous()
        for number, moments in state.items()
        for name, value in moments.items()
    }


def _unflatten(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    whole = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**whole, "state": state})
