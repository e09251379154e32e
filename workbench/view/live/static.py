"""The synchronous form of the dashboard: trains within the cell, leaves pictures and tables.

For notebooks that run unattended, and for places that show nothing that a thread draws. The output
needs neither widgets nor style sheets, so a saved notebook reads well anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from IPython import get_ipython
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure

from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.events import Event, Sample, SampleEvent
from workbench.view.cell_output import CellOutput, displayed, show
from workbench.view.html.elements import describe, facts
from workbench.view.html.images import png
from workbench.view.html.render import render
from workbench.view.live.run_answers import policy_and_reference
from workbench.view.live.run_state import RunState
from workbench.view.live.screen_protocol import Driver, Screen
from workbench.view.live.worker import Worker
from workbench.view.plot.history import History
from workbench.view.plot.run_figure import overview
from workbench.view.throttle import Throttle


class StaticScreen(Screen):
    """Collects what is shown at the end; meanwhile one line tells how far the run is."""

    def __init__(self) -> None:
        self.png = b""
        self.shown: tuple[Sample, ...] = ()
        self._history = History()
        self._line, self._throttle = CellOutput(), Throttle(rate=2, share=0.01)
        self._doing = ""

    def loading(self, text: str, share: float) -> None:
        """What is being done before the first step."""
        self._tell(f"loading · {text} · {share:.0%}", at_once=text != self._doing)
        self._doing = text

    def waiting(self, text: str) -> None:
        """What is waited for."""
        self._tell(text, at_once=True)

    def event(self, run_state: RunState, event: Event) -> None:
        """Keep what the outcome is drawn from."""
        self._history.add(run_state.name, event)
        if isinstance(event, SampleEvent):
            self.shown = event.samples

    def refused(self, error: Exception) -> None:
        """No one can try again: fail."""
        raise error

    def refresh(self, worker: Driver, at_once: bool = False) -> None:
        """How far the run is."""
        for run_state in worker.run_states.values():
            self._tell(describe(run_state), at_once)

    def ended(self, worker: Driver) -> None:
        """Draw the one picture."""
        self.png = png(overview(self._history))
        self.refresh(worker, at_once=True)

    def _tell(self, text: str, at_once: bool) -> None:
        if get_ipython() is not None and (at_once or self._throttle.due()):
            with self._throttle.measure():
                self._line.show(render("line", text=text))


class StaticDashboard:
    """The outcome of a run that has ended; made by `dashboard(..., live=False)`."""

    def __init__(self, make_run: Callable[[Progress], Run], prompt: str | None) -> None:
        self._screen = StaticScreen()
        self.worker = Worker(make_run, self._screen)
        try:
            self.worker.run_here()
        except BaseException:
            if self.runs:  # the curves so far help to find the cause
                display(Image(self._screen.png))
            raise
        writes = bool(prompt) and self.run.policy.generates
        self._answered = self.run.sample([prompt]) if prompt and writes else ()

    @property
    def runs(self) -> list[Run]:
        """The one run, in a list."""
        return [run_state.run for run_state in self.worker.run_states.values()]

    @property
    def run(self) -> Run:
        """The run, at its end."""
        return self.runs[0]

    def join(self, timeout: float | None = None) -> bool:
        """True: the run has ended."""
        return self.worker.join(timeout)

    def when_done(self, function: Callable[[Run], str | Figure]) -> HTML | Image:
        """What `function` returns for the run, HTML or a figure, to show as a cell's last line."""
        return displayed(function(self.run))

    def _ipython_display_(self) -> None:
        display(Image(self._screen.png))
        show(policy_and_reference({"policy": (*self._answered, *self._screen.shown)}))
        show(facts(*self.worker.run_states.values()))
