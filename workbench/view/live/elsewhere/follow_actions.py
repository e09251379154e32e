"""What a dashboard does with runs that other processes train."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.runs.folder.lock import written_elsewhere
from workbench.runs.reopen import load_run
from workbench.train.config import TrainConfig
from workbench.view.html.elements import waiting
from workbench.view.live.dashboard_actions import DashboardActions, MakeRun
from workbench.view.live.elsewhere.follower import Follower
from workbench.view.live.run_state import RunState
from workbench.view.live.worker import Worker


class FollowActions(DashboardActions):
    """Opens recorded runs, and follows those that still train in another process.

    `followed` are the folders of runs to follow from the start, whoever trains them.
    """

    def __init__(
        self, config: TrainConfig, prompt: str | None, make_run: MakeRun, keep: bool = True,
        opened: Path | None = None, followed: Sequence[Path] = (),
    ) -> None:  # fmt: skip
        self._followed = tuple(followed)
        super().__init__(config, prompt, make_run, keep, opened)
        if opened is not None:
            self._open(opened)

    def _open(self, folder: Path) -> None:
        """Follow the run, or show what was recorded; its model is loaded when it is needed."""
        if self._followed or written_elsewhere(folder):
            return self._follow(*(self._followed or [folder]))
        entry = self._shelf.find(folder)
        self._actions.show(entry.name)
        told = f"{entry.name} · {entry.state} · step {entry.step} of {entry.total} · opened again"
        self._outputs.status.value = waiting(entry.state, told, 1.0)
        self._outputs.show_recorded(folder)

    def _follow(self, *folders: Path) -> None:
        """Follow these runs, beside those that are followed already."""
        if isinstance(self.worker, Worker) and self._busy():
            raise WorkbenchError("a run is being trained: stop it first")
        before = self._followed if isinstance(self.worker, Follower) else ()
        first, *others = together = tuple(dict.fromkeys([*before, *folders]))
        names = [folder.name for folder in together]
        if len(set(names)) < len(names):
            raise WorkbenchError(f"runs of one name can't be followed together: {names}")
        self._followed = together
        screen = self._new_screen(first.name, first)
        self._outputs.mark_earlier(self._outputs.samples.value != "")
        for folder in others:
            self._shelf.begin(folder.name, folder)
        self._inputs.offer_runs(names)
        self._outputs.curves.show(self._shelf.shown)
        self._opened = first.name
        self.worker = Follower(self._followed, screen, self._show_settings, self._is_open)
        self.worker.start()
        self._offer_actions()

    def _is_open(self) -> bool:
        return self.box.comm is not None

    def _show_settings(self, run_state: RunState) -> None:
        """The fields show what the followed run is trained with."""
        if self._inputs.target in (None, run_state.name):
            self._inputs.show_values(run_state.settings)

    def _held_worker(self) -> Worker | Follower:
        """The worker; that of a recorded run, or of one that was followed, loads its model now."""
        if isinstance(self.worker, Follower) and self.worker.over:
            self.worker.close()
            self._opened, self.worker = self._inputs.target or self._opened, None
        entry = self._shelf.entries.get(self._opened)
        if self.worker is None and entry is not None and entry.folder is not None:
            load = partial(load_run, entry.folder)
            worker = self._worker_for(load, entry.name, entry.folder, entry.state)
            worker.start()
            return worker
        return super()._held_worker()

    def _offer_actions(self) -> None:
        super()._offer_actions()
        elsewhere, buttons = isinstance(self.worker, Follower), self._inputs.buttons
        going = elsewhere and self._busy()
        for name in ("Pause", "Branch"):
            buttons[name].disabled |= elsewhere
        buttons["Step"].disabled, buttons["Generate"].disabled = elsewhere, going
        (self.box.add_class if going else self.box.remove_class)("wb-elsewhere")
