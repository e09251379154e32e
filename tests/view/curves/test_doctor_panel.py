"""The panel below the curves: a line per run, kept open, whatever the runs are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.runs.doctor.diagnose import Report
from workbench.runs.doctor.diagnosis import CANNOT_TELL, FOUND, NOT_FOUND, Diagnosis
from workbench.runs.run import Run
from workbench.train.events import EvalEvent
from workbench.view.curves.doctor_panel import BEFORE, DoctorPanel, report_html

HOSTILE = "<script>alert(1)</script>"


def test_a_line_for_each_run_is_brought_up_to_date(make_run: Callable[..., Run]) -> None:
    run, panel = make_run(held_out=10), DoctorPanel()
    assert panel.titles == (BEFORE,)
    seen = []
    for event in run:
        if isinstance(event, EvalEvent):
            panel.examine(run)
            seen.append((panel.children, panel.titles))
            panel.selected_index = 0
    assert len({children for children, _ in seen}) == 1
    assert len(seen[-1][1]) == 1
    assert seen[-1][1][0].startswith(f"doctor · run · running, step {run.step} of {run.total}: ")
    assert panel.selected_index == 0
    assert "evaluation too small" in panel.children[0].value
    run.name = "another"
    panel.examine(run)
    assert panel.children[0] is seen[0][0][0]
    assert [title.split(" · ")[1] for title in panel.titles] == ["run", "another"]
    panel.clear()
    assert (panel.titles, panel.selected_index) == ((BEFORE,), None)


def test_what_cannot_be_read_is_shown_and_ends_nothing(tmp_path: Path) -> None:
    panel = DoctorPanel()
    panel.examine(tmp_path)
    assert panel.titles == (f"doctor · {tmp_path.name} · no diagnosis",)
    assert "holds no run" in panel.children[0].value


def test_texts_are_escaped() -> None:
    diagnoses = (
        Diagnosis(HOSTILE, FOUND, HOSTILE, HOSTILE),
        Diagnosis("unknown", CANNOT_TELL, HOSTILE),
        Diagnosis("first", NOT_FOUND, "")
    )  # fmt: skip
    text = report_html(Report("run", "finished", 1, 1, diagnoses))
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;") == 4
    assert "Not found: first." in text
