"""The runs of a dashboard: those it trained, and those of earlier days in the same folder.

An entry holds numbers and a folder, never a model, so that an ended run's model can be released.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs.folder.kept_runs import (
    KeptRun,
    delete_run,
    kept_runs,
    new_folder,
    read_run,
    rename_run,
)
from workbench.runs.folder.lock import written_elsewhere
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent
from workbench.view.live.run_state import RunState
from workbench.view.plot.run_style import RunStyle

APART = {"out", "method", "device", "precision", "threads"}  # settings that are not compared
MOST_SETTINGS = 6  # that are written in a row
BY_COLUMN = {
    "accuracy": ("rewards/accuracies", "{:.2f}"),
    "kl": ("kl/policy_reference", "{:.2f}"),
    "reward": ("samples/reward", "{:+.2f}"),
}
CAN_GO_ON = ("stopped", "interrupted")
ELSEWHERE = "running elsewhere"


@dataclass
class Entry:
    """One run; `drawn` once its curves were read."""

    name: str
    folder: Path | None = None
    state: str = "loading"
    method: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    total: int = 0
    held_out: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    shown: bool = False
    drawn: bool = False

    @property
    def live(self) -> bool:
        """Whether it still trains."""
        return self.state in ("loading", "running", "paused")

    @property
    def can(self) -> list[str]:
        """The actions that its row offers."""
        if self.live:
            return ["show"]
        if self.state == ELSEWHERE:
            return ["show", "follow"]
        if self.problem:
            return ["delete"]
        kept = self.folder is not None
        go_on = kept and self.state in CAN_GO_ON and self.step > 0
        return [
            "show",
            *(["answers"] if kept else []),
            *(["branch", "go_on"] if go_on else []),
            *(["rename"] if kept else []),
            "delete",
        ]


class Shelf:
    """All entries by name, oldest first.

    Args:
        parent: where the runs are kept; None: nowhere, new runs are called run, run 2, ...
        asked: what the dashboard was given; its `out` is the folder of the first run.
    """

    def __init__(self, parent: Path | None, asked: TrainConfig) -> None:
        self.parent, self._asked = parent, asked
        self.entries: dict[str, Entry] = {}
        self._starts = 0
        for kept in kept_runs(parent) if parent is not None else []:
            self.entries[kept.folder.name] = entry_of(kept)

    def place(self, config: TrainConfig) -> tuple[str, Path | None]:
        """Name and folder of a new run."""
        self._starts += 1
        if self._asked.out is not None:
            more = f"-{self._starts}" if self._starts > 1 else ""
            folder = Path(f"{self._asked.out}{more}")
        elif self.parent is not None:
            folder = new_folder(self.parent, config)
        else:
            return "run" if self._starts == 1 else f"run {self._starts}", None
        return folder.name, folder

    def find(self, folder: Path) -> Entry:
        """The entry of a run's folder, which may be older than those that are listed."""
        return self.entries.setdefault(folder.name, entry_of(read_run(folder)))

    def begin(self, name: str, folder: Path | None) -> Entry:
        """Make room for a run that is about to be loaded, or take its entry; it is shown."""
        entry = self.entries.setdefault(name, Entry(name, folder))
        entry.state, entry.shown, entry.drawn = "loading", True, True
        return entry

    @property
    def shown(self) -> list[str]:
        """The names of the runs whose curves are drawn."""
        return [entry.name for entry in self.entries.values() if entry.shown]

    def take_in(self, run_states: Sequence[RunState]) -> None:
        """Bring the entries of live runs up to date."""
        for state in run_states:
            run = state.run
            entry = self.entries.get(state.name) or self.begin(state.name, run.folder)
            evaluations = [event for event in run.events if isinstance(event, EvalEvent)]
            metrics = evaluations[-1].metrics if evaluations else {}
            entry.folder, entry.state = run.folder or entry.folder, state.state
            entry.method = str(run.config.resolved().method)
            entry.settings = compared(run.config, state.settings)
            entry.step, entry.total = state.step, state.total
            entry.held_out = {n.removeprefix("held_out/"): v for n, v in metrics.items()}

    def drop_unmade(self) -> None:
        """Forget what was never made: loading failed, or was given up."""
        for name in [name for name, entry in self.entries.items() if entry.state == "loading"]:
            del self.entries[name]

    def rename(self, name: str, to: str) -> str:
        """Give an ended run and its folder another name; returns it."""
        entry, to = self.entries[name], to.strip()
        if to == name:
            return name
        if to in self.entries:
            raise WorkbenchError(f"name={to!r} is taken; choose another")
        if entry.folder is not None:
            entry.folder = rename_run(entry.folder, to)
        entry.name = to
        self.entries = {one.name: one for one in self.entries.values()}
        return to

    def delete(self, name: str) -> None:
        """Delete an ended run and its folder."""
        folder = self.entries[name].folder
        if folder is not None and folder.exists():
            delete_run(folder)
        del self.entries[name]

    def rows(self, style: Callable[[str], RunStyle | None]) -> list[dict[str, Any]]:
        """What the table draws, newest first; `style` is that of a run that is drawn."""
        differing = differences([one.settings for one in self.entries.values() if not one.problem])
        return [
            _row(one, differing) | _mark(style(one.name) if one.shown else None)
            for one in reversed(self.entries.values())
        ]


def entry_of(kept: KeptRun) -> Entry:
    """The entry of a run of an earlier day."""
    name, problem = kept.folder.name, kept.problem
    if kept.config is None:
        return Entry(name, kept.folder, kept.state, problem=problem)
    elsewhere = kept.state == "interrupted" and written_elsewhere(kept.folder)
    state = ELSEWHERE if elsewhere else kept.state
    return Entry(
        name, kept.folder, state, str(kept.config.resolved().method),
        compared(kept.config, kept.settings), kept.step, kept.total, dict(kept.held_out),
    )  # fmt: skip


def compared(config: TrainConfig, live: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by which runs are told apart; those changed while it ran as they are now."""
    values = {part.name: getattr(config, part.name) for part in fields(config)}
    return {name: value for name, value in (values | dict(live)).items() if name not in APART}


def differences(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the settings that are not the same in all."""
    names = dict.fromkeys(name for one in settings for name in one)
    return [n for n in names if len({str(one[n]) for one in settings if _given(one, n)}) > 1]


def _given(settings: Mapping[str, Any], name: str) -> bool:
    return settings.get(name) is not None


def _row(entry: Entry, differing: Sequence[str]) -> dict[str, Any]:
    names = [name for name in differing if _given(entry.settings, name)]
    written = [f"{name.replace('_', ' ')} {_text(entry.settings[name])}" for name in names]
    more = [f"{len(written) - MOST_SETTINGS} more"] if len(written) > MOST_SETTINGS else []
    known = dict(entry.held_out)
    if known.get("rewards/ties") == 1:  # as before the first step: there is no accuracy to show
        known.pop("rewards/accuracies", None)
    figures = {
        column: form.format(known[metric]) if metric in known else ""
        for column, (metric, form) in BY_COLUMN.items()
    }
    return {
        "name": entry.name,
        "folder": "" if entry.folder is None else str(entry.folder),
        "method": entry.method,
        "settings": " · ".join([*written[:MOST_SETTINGS], *more]),
        "steps": f"{entry.step} of {entry.total}" if entry.total else str(entry.step),
        **figures,
        "state": entry.state,
        "problem": entry.problem,
        "shown": entry.shown,
        "can": entry.can,
    }


def _mark(style: RunStyle | None) -> dict[str, str]:
    if style is None:
        return {"colour": ""}
    dash = " ".join(str(2 * part) for part in style.dash)
    return {"colour": style.colour, "dark": style.dark, "dash": dash}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else str(value)
