"""What the buttons of a dashboard do, and what its worker tells it.

Callbacks only put commands into the worker's queue; they may come on any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.view.html.elements import error_card
from workbench.view.live.dashboard_inputs import Inputs
from workbench.view.live.elsewhere.follower import Follower
from workbench.view.live.outputs.followers import Followers, mark_earlier
from workbench.view.live.outputs.saved_output import SavedOutput
from workbench.view.live.run_state import RunState, branch_names
from workbench.view.live.runs_table.shelf import Shelf
from workbench.view.live.runs_table.table_actions import TableActions
from workbench.view.live.screen import LiveScreen, Outputs
from workbench.view.live.screen_protocol import Driver
from workbench.view.live.worker import Worker

MakeRun = Callable[[TrainConfig, Progress], Run]
RUNS = "runs"  # the folder of all runs, beside the notebook


class DashboardActions:
    """The dashboard but for its display; see `Dashboard`."""

    def __init__(
        self, config: TrainConfig, prompt: str | None, make_run: MakeRun, keep: bool = True,
        opened: Path | None = None,
    ) -> None:  # fmt: skip
        self.worker: Worker | Follower | None = None
        self._config, self._make_run = config, make_run
        self._inputs, self._outputs = Inputs(config, prompt), Outputs()
        self._followers = Followers()
        self._offering = threading.Lock()
        self._held: set[str] = set()  # runs for which Pause was pressed
        beside = Path(config.out).parent if config.out is not None else Path(RUNS)
        parent = opened.parent if opened is not None else beside if keep else None
        self._shelf, curves = Shelf(parent, config), self._outputs.curves
        acts = self._begin, self._busy, self._release, self._follow
        self._actions = TableActions(self._shelf, curves, *acts)
        self.box = self._inputs.arrange(self._outputs, self._actions)
        self._saved, self._branches = SavedOutput(), branch_names()
        self._connect()
        self._offer_actions()
        self._opened = "" if opened is None else opened.name

    @property
    def runs(self) -> list[Run]:
        """The run of the last Start and its branches, in the order in which they were made."""
        states = list(self.worker.run_states.values()) if self.worker else []
        return [one.run for one in states if not one.elsewhere]

    @property
    def run(self) -> Run | None:
        """The run of the last Start; None until it is loaded."""
        return next(iter(self.runs), None)

    @property
    def _newest(self) -> Path | None:
        """The folder of the run that was made last."""
        opened = self._shelf.entries.get(self._opened)
        return self.run.folder if self.run is not None else opened.folder if opened else None

    # -- from the user to the worker -----------------------------------------------------------

    def _connect(self) -> None:
        inputs = self._inputs
        actions = (self._start, self._pause, self._step, self._branch, self._stop, self._sample)
        for button, action in zip(inputs.buttons.values(), actions, strict=True):
            button.on_click(partial(self._act, action))
        inputs.on_setting(self._set)
        inputs.runs.observe(lambda change: self._choose_run(), "value")

    def _act(self, action: Callable[[], None], button: widgets.Button) -> None:
        """The action of a button; an error is shown on the dashboard."""
        try:
            action()
        except WorkbenchError as error:
            self._outputs.problem.value = error_card(error)
        self._offer_actions()

    def _set(self, **settings: float | str) -> None:
        if self.worker is not None:
            if not self.worker.over:
                self._outputs.problem.value = ""  # of the setting before, perhaps
            self.worker.set(self._inputs.target, **settings)

    def _choose_run(self) -> None:
        """The fields show what the chosen run is trained with."""
        states = self.worker.run_states if self.worker else {}
        if state := states.get(self._inputs.target or ""):
            self._inputs.show_values(state.settings | state.wanted)
        self._offer_actions()

    def _start(self) -> None:
        self._prepare().start()

    def _prepare(self) -> Worker:
        """A worker for a new run from the reference, not yet started."""
        config = replace(self._config, method=None, **self._inputs.settings)
        name, folder = self._shelf.place(config)
        config = replace(config, out=None if folder is None else str(folder))
        return self._worker_for(partial(self._make_run, config), name, folder)

    def _worker_for(
        self, make: Callable[[Progress], Run], name: str, folder: Path | None, ended: str = ""
    ) -> Worker:
        """A worker for a run of this name, not yet started; the models before it are released."""
        screen = self._new_screen(name, folder)

        def named(progress: Progress) -> Run:
            run = make(progress)
            run.name = name
            return run

        self.worker = worker = Worker(named, screen, self._branches, ended)
        return worker

    def _new_screen(self, name: str, folder: Path | None) -> LiveScreen:
        """A screen for a run of this name."""
        if isinstance(self.worker, Follower):
            self.worker.close()
        self._held.clear()
        self._shelf.drop_unmade()
        self._shelf.begin(name, folder)
        self._actions.update()  # first of all, so that a person sees that the press was heard
        self._outputs.curves.show(self._shelf.shown)
        self._inputs.offer_runs([name])
        for output in (self._outputs.answer, self._outputs.samples, *self._followers.outputs):
            mark_earlier(output, True)
        self._screen = LiveScreen(
            self._outputs, self._on_branch, self._on_end, self._offer_actions, self._on_change
        )
        return self._screen

    def _begin(self, make: Callable[[Progress], Run], name: str, folder: Path) -> None:
        """Let a run of the table go on."""
        self._worker_for(make, name, folder).start()
        self._offer_actions()

    def _busy(self) -> bool:
        return self.worker is not None and not self.worker.over

    def _release(self, name: str) -> None:
        """Let go of a run's model, before its folder is renamed or deleted."""
        if self.worker is not None and name in self.worker.run_states:
            if not self.worker.run_states[name].ended:
                raise WorkbenchError(f"{name} is still being trained: stop it first")
            del self.worker.run_states[name]

    def _follow(self, *folders: Path) -> None:
        raise NotImplementedError

    def _held_worker(self) -> Worker | Follower:
        """The worker; without one, a new one that is paused before the first step."""
        if self.worker is not None and not self.worker.closed:
            return self.worker
        worker = self._prepare()
        worker.pause()
        self._held |= self._inputs.targets
        worker.start()
        return worker

    def _pause(self) -> None:
        worker, targets = self._held_worker(), self._inputs.targets
        if targets <= self._held:
            self._held -= targets
            worker.resume(self._inputs.target)
        else:
            self._held |= targets
            worker.pause(self._inputs.target)

    def _step(self) -> None:
        if self.worker is not None and self.worker.over:
            self.worker.close()
        self._held_worker().step(self._inputs.target)
        self._held |= self._inputs.targets

    def _branch(self) -> None:
        worker = self._held_worker()
        worker.branch(self._inputs.target or next(iter(worker.run_states)))

    def _stop(self) -> None:
        self._held_worker().stop(self._inputs.target)

    def _sample(self) -> None:
        prompt = self._inputs.prompt.value
        asked = [prompt] if prompt.strip() else []
        sampling, worker = self._inputs.sampling, self._held_worker()
        show = partial(self._screen.writing, own=bool(asked))
        worker.sample(asked, sampling, self._inputs.target, show)

    # -- from the worker, on its thread ---------------------------------------------------------

    def _on_branch(self, run_state: RunState) -> None:
        if self.worker is None or run_state.name not in self.worker.run_states:
            return  # a branch of a run that is being replaced
        if run_state.paused:
            self._held.add(run_state.name)
        self._inputs.offer_runs(list(self.worker.run_states))
        self._on_change(self.worker)

    def _on_change(self, worker: Driver) -> None:
        """Bring the table up to date, and the saved output where the worker rests."""
        if worker is not self.worker:
            return
        self._shelf.take_in(list(worker.run_states.values()))
        if worker.over:
            self._shelf.drop_unmade()
        self._outputs.curves.show(self._shelf.shown)
        self._actions.update()
        states = worker.run_states.values()
        now = [*((one.name, one.step, one.state) for one in states), *self._shelf.shown]
        if not any(one.active for one in states):
            self._saved.show_new(now, self._outputs.curves.png, self._newest)

    def _on_end(self, worker: Driver) -> None:
        if worker is not self.worker:
            return
        self._offer_actions()
        self._followers.fill(self.run)

    def _fill(self, output: widgets.HTML) -> None:
        with suppress(Exception):  # shown in the output
            self._followers.fill(self.run, [output])

    def _offer_actions(self) -> None:
        with self._offering:  # otherwise an older state might be written last
            held = self._busy() and self._inputs.targets <= self._held
            writing = bool(self.worker and self.worker.writing)
            self._inputs.offer_actions(self._busy(), held, writing)
