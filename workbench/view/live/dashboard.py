"""The dashboard: controls, live curves, policy beside reference.

Callbacks only put commands into the worker's queue; they may come on any thread. The input widgets
are read and never set.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import ipywidgets as widgets
from IPython.display import display
from matplotlib.figure import Figure

from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.view.html.elements import error_card
from workbench.view.html.images import picture
from workbench.view.live.dashboard_inputs import Inputs
from workbench.view.live.run_state import RunState
from workbench.view.live.screen import LiveScreen, Outputs
from workbench.view.live.screen_protocol import Driver
from workbench.view.live.static import StaticDashboard
from workbench.view.live.worker import Worker

MakeRun = Callable[[TrainConfig, Progress], Run]
Follower = Callable[[Run], str | Figure]


def dashboard(
    config: TrainConfig | None = None,
    live: bool = True,
    prompt: str | None = None,
    make_run: MakeRun = Run.create,
) -> Dashboard | StaticDashboard:
    """Train and watch: an object that displays itself as the last line of a cell.

    Args:
        config: what to train; the controls start at its values.
        live: False trains to the end within the cell and shows the outcome without widgets, for
            notebooks that run unattended. Google Colab, which shows nothing that a thread draws,
            always gets this form.
        prompt: answered by policy and reference, beside each other.
        make_run: makes the run from config and progress, when Start is pressed.
    """
    Worker.close_newest()
    config = config or TrainConfig()
    if not live or "google.colab" in sys.modules:
        return StaticDashboard(partial(make_run, config), prompt)
    return Dashboard(config, prompt, make_run)


class Dashboard:
    """The live form; `dashboard` makes it.

    Attributes:
        worker: drives the runs of the last Start; None before the first.
        box: all of it, as a widget.
    """

    def __init__(self, config: TrainConfig, prompt: str | None, make_run: MakeRun) -> None:
        self.worker: Worker | None = None
        self._config, self._make_run = config, make_run
        self._inputs, self._outputs = Inputs(config, prompt), Outputs()
        self._followers: list[tuple[Follower, widgets.HTML]] = []
        self._starts, self._offering = 0, threading.Lock()
        self._held: set[str] = set()  # runs for which Pause was pressed
        self.box = self._inputs.arrange(self._outputs)
        self._connect()
        self._offer_actions()

    @property
    def runs(self) -> list[Run]:
        """The run and its branches, in the order in which they were made."""
        states = list(self.worker.run_states.values()) if self.worker else []
        return [run_state.run for run_state in states]

    @property
    def run(self) -> Run | None:
        """The run of the last Start; None until it is loaded."""
        return next(iter(self.runs), None)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every run has ended; whether they have. Raises the error of a failed run."""
        return self.worker is not None and self.worker.join(timeout)

    def when_done(self, function: Follower) -> widgets.HTML:
        """A widget that shows `function` of the run, HTML or a figure, whenever a run has ended."""
        output = widgets.HTML("<i>Fills itself in when the run ends.</i>").add_class("wb-done")
        self._followers.append((function, output))
        fill = partial(self._fill, function, output)
        if self.worker is not None:
            fill() if self.worker.closed else self.worker.call(fill)
        return output

    def _ipython_display_(self) -> None:
        still = "<p>A live dashboard: run this cell to train here.</p>"  # where widgets don't show
        display({**self.box._repr_mimebundle_(), "text/html": still}, raw=True)

    # -- from the user to the worker -----------------------------------------------------------

    def _connect(self) -> None:
        inputs = self._inputs
        actions = (self._start, self._pause, self._step, self._branch, self._stop, self._sample)
        for button, action in zip(inputs.buttons.values(), actions, strict=True):
            button.on_click(partial(self._act, action))
        inputs.on_setting(self._set)
        inputs.runs.observe(lambda change: self._offer_actions(), "value")

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

    def _start(self) -> None:
        self._prepare().start()

    def _prepare(self) -> Worker:
        """A worker for a new run from the reference, not yet started."""
        config = replace(self._config, method=None, **self._inputs.settings)
        self._starts += 1
        if config.out is not None and self._starts > 1:
            config = replace(config, out=f"{config.out}-{self._starts}")
        self._held.clear()
        self._inputs.offer_runs([])
        self._screen = LiveScreen(self._outputs, self._on_branch, self._on_end, self._offer_actions)
        self.worker = Worker(partial(self._make_run, config), self._screen)
        return self.worker

    def _held_worker(self) -> Worker:
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
        self._held_worker().branch(self._inputs.target or "run")

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
        _, *branches = self.worker.run_states
        self._inputs.offer_runs(branches)

    def _on_end(self, worker: Driver) -> None:
        if worker is not self.worker:
            return
        self._offer_actions()
        errors = [self._fill(function, output) for function, output in self._followers]
        for error in filter(None, errors):
            raise error

    def _fill(self, function: Follower, output: widgets.HTML) -> Exception | None:
        """Show `function` of the run in its widget; returns the error that it raised, or None."""
        if not (self.run and self.run.finished):
            return None
        try:
            made = function(self.run)
            output.value = made if isinstance(made, str) else picture(made)
        except Exception as error:
            output.value = error_card(error)
            return error
        return None

    def _offer_actions(self) -> None:
        with self._offering:  # otherwise an older state might be written last
            busy = self.worker is not None and not self.worker.over
            held = busy and self._inputs.targets <= self._held
            writing = self.worker is not None and self.worker.writing
            self._inputs.offer_actions(busy, held, writing)
