"""The synchronous twin of the dashboard: trains within the cell, leaves pictures and tables.

For notebooks that run without a person, and for places that show nothing a thread draws. What it
leaves behind needs neither widgets nor style sheets, so a saved notebook reads well anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from IPython import get_ipython
from IPython.display import HTML, DisplayHandle, Image, display
from matplotlib.figure import Figure

from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.events import Event, Sample, SampleEvent
from workbench.view.html import elements
from workbench.view.html.text_table import side_by_side
from workbench.view.live.run_state import RunState
from workbench.view.live.screen_protocol import Driver
from workbench.view.live.worker import Worker
from workbench.view.plot.live_figure import LiveFigure, Pace


class StillScreen:
    """Keeps what there is to show; meanwhile tells how far the run is, in one line."""

    def __init__(self) -> None:
        self.png = b""
        self.shown: tuple[Sample, ...] = ()
        self._figure = LiveFigure()
        self._telling = Pace(rate=2, share=0.01)
        self._line: DisplayHandle | None = None
        self._doing = ""

    def loading(self, text: str, share: float) -> None:
        """Say what is being done before the first step."""
        self._tell(f"loading · {text} · {share:.0%}", at_once=text != self._doing)
        self._doing = text

    def opened(self, run_state: RunState, parent: RunState | None) -> None:
        """Nothing to do: there are no branches here."""

    def event(self, run_state: RunState, event: Event) -> None:
        """Remember what the run said."""
        self._figure.add(run_state.name, event)
        if isinstance(event, SampleEvent):
            self.shown = event.samples

    def sampled(self, run_state: RunState, samples: tuple[Sample, ...], own: bool) -> None:
        """Nothing to do: nobody asks while it runs."""

    def refused(self, error: Exception) -> None:
        """There is nobody to try again."""
        raise error

    def refresh(self, worker: Driver) -> None:
        """Say how far the run is."""
        for run_state in worker.run_states.values():
            self._tell(elements.describe(run_state))

    def settle(self, worker: Driver) -> None:
        """Nothing to do: the cell is not finished before the end."""

    def ended(self, worker: Driver) -> None:
        """Draw the one picture."""
        self.png = self._figure.png(final=True)
        for run_state in worker.run_states.values():
            self._tell(elements.describe(run_state), at_once=True)

    def _tell(self, text: str, at_once: bool = False) -> None:
        now = time.perf_counter()
        if get_ipython() is None or not (at_once or self._telling.due(now)):
            return
        line = HTML(f"<p>{elements.escape(text)}</p>")
        if self._line is None:
            self._line = display(line, display_id=True)
        else:
            self._line.update(line)
        self._telling.drew(now, time.perf_counter())


class StaticDashboard:
    """The outcome of a run that has ended; made by `dashboard(..., live=False)`."""

    def __init__(self, make_run: Callable[[Progress], Run], prompt: str | None) -> None:
        self._screen = StillScreen()
        self.worker = Worker(make_run, self._screen)
        try:
            self.worker.run_here()
        except BaseException:
            if self.runs:  # how far it came tells what went wrong
                display(Image(self._screen.png))
            raise
        self._answered = self.run.sample([prompt]) if prompt else ()

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
        """What `function` makes of the run, HTML or a figure, to show as a cell's last line."""
        made = function(self.run)
        # A code host shows a picture of its own kind, but not one within HTML.
        return HTML(made) if isinstance(made, str) else Image(elements.png(made))

    def _ipython_display_(self) -> None:
        display(Image(self._screen.png))
        display(HTML(side_by_side((*self._answered, *self._screen.shown))))
        display(HTML(elements.facts(*self.worker.run_states.values())))
