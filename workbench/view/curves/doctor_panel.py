"""What the runs suffer from, below their curves: a line per run, which opens on the evidence."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as widgets

from workbench.runs.doctor import Report, diagnose
from workbench.runs.doctor.parts import Parts
from workbench.runs.doctor.run_readings import parts_of, read_run
from workbench.runs.run_view import RunView
from workbench.view.html.elements import error_card
from workbench.view.html.render import Html, render

BEFORE = "doctor · says from the first evaluation on what a run suffers from"


class DoctorPanel(widgets.Accordion):
    """Diagnoses runs and shows the newest report of each.

    Only titles and texts change, so that what a person has opened stays open.
    """

    def __init__(self) -> None:
        super().__init__()
        self._parts: dict[str, Parts | str | None] = {}
        self._texts: dict[str, widgets.HTML] = {}
        self.add_class("wb-doctor").add_class("wb-more")
        self.clear()

    def clear(self) -> None:
        """Forget the runs before."""
        self._parts.clear()
        self._texts.clear()
        self.children = (widgets.HTML(),)
        self.titles: tuple[str, ...] = (BEFORE,)
        self.selected_index = None

    def examine(self, source: RunView | Path) -> None:
        """Diagnose a run, in hand or by its folder; an error is shown here and ends nothing."""
        name = source.name
        try:
            if isinstance(source, RunView):
                if name not in self._parts:  # what they share is found once
                    self._parts[name] = parts_of(source)
                report = diagnose(read_run(source, self._parts[name]))
            else:
                report = diagnose(source)
            self._show(name, report.verdict, report_html(report))
        except Exception as error:
            self._show(name, "no diagnosis", error_card(error))

    def _show(self, name: str, verdict: str, text: Html) -> None:
        if name not in self._texts:
            self._texts[name] = widgets.HTML()
            self.children = tuple(self._texts.values())
        self._texts[name].value = text
        title = f"doctor · {name} · {verdict}"
        place = list(self._texts).index(name)
        titles = [*self.titles[:place], title, *self.titles[place + 1 :]]
        self.titles = tuple(titles)


def report_html(report: Report) -> Html:
    """What was found, with evidence and the next thing to try; what cannot be told; the rest."""
    told = {*report.found, *report.unknown}
    clear = ", ".join(one.name for one in report.diagnoses if one not in told)
    return render("doctor", report=report, clear=clear)
