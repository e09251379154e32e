"""A run on disk: config, events, checkpoints, summary. Every write is atomic.

    RUN/config.toml                      every setting, filled in; the folder's format
    RUN/events.jsonl                     one event per line
    RUN/skipped.jsonl                    rows that can't be used, with the reason
    RUN/data.json                        hash of the rows; those held out, those cut
    RUN/self_test.json                   what was checked before the first step; the reference
    RUN/checkpoints/step-000120/         see `checkpoints`
    RUN/summary.json                     written when the run ends

Each file can be checked: small ones hold their own SHA-256, a checkpoint holds those of its files.
What is damaged is named in a warning, and set aside by a run that goes on.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.data.seals import read_sealed, sealed, set_aside
from workbench.errors import WorkbenchError
from workbench.paths import folder_to_write, given_path
from workbench.runs.folder.checkpoint_files import EVENTS, read_state, step_of, write_checkpoint
from workbench.runs.folder.checkpoints import COMPLETE, checkpoints_in, thin_out
from workbench.runs.folder.config_file import config_from_toml, config_to_toml, naming, write_text
from workbench.runs.folder.event_log import EventLog
from workbench.runs.folder.known_rows import KnownData, known_rows
from workbench.runs.folder.lock import RunLock
from workbench.runs.run_data import RunData
from workbench.runs.self_test.result import SelfTest
from workbench.train.config import TrainConfig
from workbench.train.events import Event, event_from_dict

PARTS_OF_ONE = ("config.toml", "events.jsonl", "checkpoints")  # a new run would mix with these


class Record:
    """The folder of one run. It is written after `hold`, and read at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder = given_path(folder)
        self._lock: RunLock | None = None
        self._log = EventLog(folder / "events.jsonl")

    @staticmethod
    def refuse_existing(folder: Path, parts: Sequence[str] = PARTS_OF_ONE) -> None:
        """Raise where the folder holds one of these, or can't be made or written to."""
        folder_to_write(folder, "out")
        if any((folder / part).exists() for part in parts):
            raise WorkbenchError(
                f"out={str(folder)!r} already holds a run; choose another folder, "
                "or go on with that one by --resume"
            )

    @classmethod
    def create(cls, folder: Path, config: TrainConfig) -> Record:
        """A new folder with its config; one that already holds a run is refused."""
        cls.refuse_existing(folder)
        record = cls(folder)
        record.hold()
        cls.refuse_existing(folder)  # as another process may have been first
        record.write_config(config)
        return record

    def hold(self) -> None:
        """Take the right to write the folder; see `RunLock`."""
        self._lock = RunLock(self.folder)

    @contextmanager
    def held(self, main: bool = True) -> Iterator[Record]:
        """The right to write, kept unless an error comes out of the block; `main` takes it."""
        if not main:
            yield self
            return
        if not (self.folder / "config.toml").exists():
            raise WorkbenchError(f"{self.folder} holds no run: config.toml is not there")
        self.hold()
        try:
            yield self
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give it back."""
        if self._lock:
            self._lock.release()

    # -- settings and data ------------------------------------------------------------------------

    def config(self) -> TrainConfig:
        """The run's settings."""
        return config_from_toml(self.folder / "config.toml")

    def write_config(self, config: TrainConfig) -> None:
        """Write config.toml."""
        self._write("config.toml", config_to_toml(config))

    def describe(self, data: RunData, test: SelfTest | None) -> None:
        """Write skipped.jsonl, data.json and self_test.json."""
        lines = [json.dumps(row._asdict()) + "\n" for row in data.skipped]
        self._write("skipped.jsonl", "".join(lines))
        self._write("data.json", json.dumps(sealed(data.as_dict())) + "\n")
        if test is not None:
            found = json.dumps(sealed(test.as_dict()), indent=1, ensure_ascii=False)
            self._write("self_test.json", found + "\n")

    def self_test(self) -> SelfTest | None:
        """What was checked before the first step; None in a folder from before it was kept."""
        path = self.folder / "self_test.json"
        if not path.exists():
            return None
        try:
            return SelfTest.from_dict(read_sealed(path))
        except (WorkbenchError, KeyError, TypeError, AttributeError) as error:
            warnings.warn(f"{path} is left out: {error!r}", stacklevel=2)
            return None

    def known_data(self, state: Mapping[str, Any] | None = None) -> KnownData | None:
        """What is known of the run's rows, see `known_rows`; `state` is the newest by default."""
        if state is None:
            with suppress(WorkbenchError):
                state = self.numbers()
        return known_rows(self.folder / "data.json", state)

    # -- events -----------------------------------------------------------------------------------

    def append(self, event: Event) -> None:
        """Add one line to the events."""
        self._require()
        self._log.append(event)

    def events(self) -> list[Event]:
        """All events, see `EventLog.read`."""
        with suppress(WorkbenchError):
            return self._log.read(self.numbers())
        return self._log.read()

    def reopen(self, events: Sequence[Event]) -> None:
        """Replace the events written so far by `events`; the run has not ended any more.

        Later checkpoints are set aside: they would count as the newest of the run.
        """
        self._require()
        last = events[-1].step if events else -1
        for path in self.checkpoints():
            if step_of(path) > last:
                self.set_aside(path, "it lacks what the run goes on from")
        with naming(self.folder / "summary.json"):
            (self.folder / "summary.json").unlink(missing_ok=True)
        for half in (self.folder / "checkpoints").glob(".step-*.tmp"):  # of a killed process
            shutil.rmtree(half, ignore_errors=True)
        self._log.replace(events)

    # -- checkpoints ------------------------------------------------------------------------------

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return checkpoints_in(self.folder / "checkpoints")

    def set_aside(self, path: Path, why: str) -> None:
        """Rename what is damaged, and say so in a warning."""
        self._require()
        set_aside(path, why)

    def numbers(self, step: int | None = None) -> dict[str, Any] | None:
        """What a checkpoint holds besides tensors, the newest by default; None without any."""
        found = [path for path in self.checkpoints() if step in (None, step_of(path))]
        return read_state(found[-1]) if found else None

    def events_of(self, checkpoint: Path, state: dict[str, Any]) -> list[Event]:
        """The events up to a checkpoint that was looked through, by its own copy where it has one.

        Where the run's file holds others, it is set aside.
        """
        copy = checkpoint / EVENTS
        if not copy.exists():
            return self.events()[: state["events"]]
        content = copy.read_bytes()
        if not self._log.begins(content):
            why = f"its events up to step {state['step']} are not those of then"
            self.set_aside(self._log.path, why)
        return [event_from_dict(json.loads(line)) for line in content.splitlines()]

    def save_checkpoint(
        self,
        policy: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        numbers: dict[str, Any],
    ) -> Path:
        """Write a checkpoint in one step, then thin out the older ones.

        Without an optimiser it is the last of a run that has finished.
        """
        self._require()
        path = self.folder / "checkpoints" / f"step-{numbers['step']:06d}"
        state = {**numbers, "events_sha256": self._log.digest}
        write_checkpoint(path, policy, optimizer, state, bytes(self._log.written))
        thin_out(self.checkpoints(), COMPLETE if optimizer is not None else 0)
        return path

    # -- the end ----------------------------------------------------------------------------------

    def summarise(self, summary: dict[str, Any]) -> None:
        """Write summary.json."""
        self._write("summary.json", json.dumps(sealed(summary), indent=1) + "\n")

    def ended(self) -> str | None:
        """Why the run ended, "finished" or "stopped"; a damaged summary is set aside."""
        try:
            return (self.summary() or {}).get("reason")
        except WorkbenchError as error:
            self.set_aside(self.folder / "summary.json", str(error))
            return None

    def summary(self) -> dict[str, Any] | None:
        """The summary of a run that ended, or None.

        Raises:
            WorkbenchError: it is not as it was written.
        """
        path = self.folder / "summary.json"
        return read_sealed(path) if path.exists() else None

    def _write(self, name: str, text: str) -> None:
        self._require()
        write_text(self.folder / name, text)

    def _require(self) -> None:
        """Raise where another `Run` writes the folder."""
        if self._lock is None:
            self.hold()
        assert self._lock is not None
        self._lock.require()
