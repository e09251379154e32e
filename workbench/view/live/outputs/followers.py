"""Outputs that fill themselves in when a run has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ipywidgets as widgets
from matplotlib.figure import Figure

from workbench.runs.run import Run
from workbench.view.html.elements import error_card
from workbench.view.html.images import picture
from workbench.view.live.run_answers import NO_ANSWERS, NO_TEXTS

Follower = Callable[[Run], str | Figure]

TO_COME = "<i>Fills itself in when the run ends.</i>"
IN_WORK = "<i>The run has ended; this is being computed.</i>"
NOTHING_YET = ("", TO_COME, IN_WORK, NO_ANSWERS, NO_TEXTS)


class Followers:
    """Functions of a run, each with the widget that shows what it returns."""

    def __init__(self) -> None:
        self._all: list[tuple[Follower, widgets.HTML]] = []

    def add(self, function: Follower) -> widgets.HTML:
        """A widget for `function` of the run, HTML or a figure."""
        output = widgets.HTML(TO_COME).add_class("wb-done")
        self._all.append((function, output))
        return output

    @property
    def outputs(self) -> list[widgets.HTML]:
        """The widgets."""
        return [output for _, output in self._all]

    def fill(self, run: Run | None, outputs: Iterable[widgets.HTML] | None = None) -> None:
        """Fill all, or these `outputs`, if the run has finished; raises the first error."""
        if run is None or not run.finished:
            return
        wanted = self.outputs if outputs is None else list(outputs)
        for output in wanted:
            if output.value == TO_COME:
                output.value = IN_WORK
        errors = [_fill(one, output, run) for one, output in self._all if output in wanted]
        for error in filter(None, errors):
            raise error


def _fill(function: Follower, output: widgets.HTML, run: Run) -> Exception | None:
    try:
        made = function(run)
        output.value = made if isinstance(made, str) else picture(made)
        mark_earlier(output, False)
    except Exception as error:
        output.value = error_card(error)
        return error
    return None


def mark_earlier(output: widgets.HTML, earlier: bool) -> None:
    """Say above an output that it belongs to an earlier run, or no longer; of none if empty."""
    marked = earlier and output.value not in NOTHING_YET
    output.add_class("wb-earlier") if marked else output.remove_class("wb-earlier")
