"""Where a live run is shown: output widgets, written by the worker's thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import ipywidgets as widgets

from workbench.train.events import ChangeEvent, EndEvent, EvalEvent, Event, Sample, SampleEvent
from workbench.view.curves.doctor_panel import DoctorPanel
from workbench.view.curves.live_curves import LiveCurves
from workbench.view.html import elements
from workbench.view.live.outputs.announcer import Announcer, News
from workbench.view.live.outputs.followers import mark_earlier
from workbench.view.live.run_answers import (
    NO_ANSWERS,
    NO_TEXTS,
    policy_and_reference,
    titled,
    with_newest,
)
from workbench.view.live.run_state import RunState
from workbench.view.live.runs_table.recorded_answers import last_samples
from workbench.view.live.screen_protocol import Driver, Screen
from workbench.view.live.worker import Answers
from workbench.view.live.writing import FINISHED
from workbench.view.throttle import Throttle

SENDINGS, SENDING_SHARE = 5, 0.01  # of new points, per second, and their share of all time
STATUSES, STATUS_SHARE = 10, 0.01
LISTS = 1  # tables of runs per second, at most
EXAMINATIONS = 5  # of what a run suffers from, per second, at most; all events are read each time


def _html(name: str, value: str = "") -> widgets.HTML:
    return widgets.HTML(value).add_class(name)


def _scrolled() -> widgets.HTML:
    """A box with more than it shows: it takes the focus, so that keys can scroll it."""
    made = _html("wb-samples")
    made.tabbable = True
    return made


@dataclass
class Outputs:
    """The widgets that show something and that the user never sets."""

    announcer: Announcer = field(default_factory=Announcer)
    status: widgets.HTML = field(
        default_factory=lambda: _html(
            "wb-statuses", elements.waiting("idle", "press Start to train")
        )
    )
    curves: LiveCurves = field(default_factory=LiveCurves)
    doctor: DoctorPanel = field(default_factory=DoctorPanel)
    facts: widgets.HTML = field(default_factory=lambda: _html("wb-footer"))
    problem: widgets.HTML = field(default_factory=lambda: _html("wb-problem"))
    answer: widgets.HTML = field(default_factory=lambda: _html("wb-answer", NO_ANSWERS))
    samples: widgets.HTML = field(default_factory=_scrolled)

    def mark_earlier(self, earlier: bool) -> None:
        """Whether answers and texts are of a run before the one that is being made."""
        for output in (self.answer, self.samples):
            mark_earlier(output, earlier)

    def show_recorded(self, folder: Path) -> None:
        """The texts and the diagnosis of a run of an earlier day."""
        self.samples.value = last_samples(folder)
        self.doctor.examine(folder)


class LiveScreen(Screen):
    """Shows one worker in `outputs`, beside the curves of the runs before.

    `on_branch` is called when a branch was made, `on_end` when every run has ended, `on_writing`
    when a writing begins or ends, `on_change` about once per second and when the worker rests.
    """

    def __init__(
        self,
        outputs: Outputs,
        on_branch: Callable[[RunState], None],
        on_end: Callable[[Driver], None],
        on_writing: Callable[[], None],
        on_change: Callable[[Driver], None],
    ) -> None:
        self._out, self._on_branch, self._on_end = outputs, on_branch, on_end
        self._on_writing, self._state, self._on_change = on_writing, FINISHED, on_change
        self._sending = Throttle(SENDINGS, SENDING_SHARE)
        self._telling = Throttle(STATUSES, STATUS_SHARE)
        self._listing = Throttle(LISTS, STATUS_SHARE)
        self._examining = Throttle(EXAMINATIONS, STATUS_SHARE)
        self._doing, self._made, self._changed = "", time.time(), False
        self._made_one = False
        self._news = News()
        self._error: BaseException | None = None
        self._shown: Answers = {}
        self._asked: Answers = {}

    def loading(self, text: str, share: float) -> None:
        """Show what is being done before the first step."""
        self._out.announcer.say(self._news.of_loading())
        if text != self._doing or self._telling.due():
            self._doing = text
            with self._telling.measure():
                gone = elements.clock(time.time() - self._made)
                told = f"loading · {text} · {share:.0%} · {gone}"
                self._out.status.value = elements.waiting("loading", told, share)

    def waiting(self, text: str) -> None:
        """Show what is waited for."""
        self._out.status.value = elements.waiting("waiting", text)

    def opened(self, run_state: RunState, parent: RunState | None) -> None:
        """Make room for a run, beside those that are drawn already."""
        if parent is not None:
            self._out.curves.fork(parent.name, run_state.name)
            return self._on_branch(run_state)
        if not self._made_one:
            self._out.doctor.clear()
        self._made_one = True
        if run_state.run.events:  # it goes on
            self._examine(run_state)
            self._out.curves.remove(run_state.name)
            self._out.curves.load(run_state.name, run_state.run.events)
        self._out.facts.value = elements.facts(run_state)
        for cleared in (self._out.problem, self._out.samples):
            cleared.value = ""
        self._out.answer.value = NO_ANSWERS if run_state.run.policy.generates else NO_TEXTS
        self._out.mark_earlier(False)

    def event(self, run_state: RunState, event: Event) -> None:
        """Add an event to the curves or the table of samples; at evaluations, diagnose."""
        self._out.curves.add(run_state.name, event)
        if isinstance(event, EndEvent) or (isinstance(event, EvalEvent) and self._examining.due()):
            with self._examining.measure():
                self._examine(run_state)
        self._changed |= isinstance(event, ChangeEvent)
        if isinstance(event, SampleEvent):
            self._show_samples(run_state, event.samples)

    def _examine(self, run_state: RunState) -> None:
        run = run_state.run
        self._out.doctor.examine(run.folder if run_state.elsewhere and run.folder else run)

    def sampled(self, run_state: RunState, samples: tuple[Sample, ...], own: bool) -> None:
        """Show answers to the user's own prompt in the panes, others in the table."""
        self._out.problem.value = ""
        if not own:
            return self._show_samples(run_state, samples)
        self._asked = with_newest(self._asked, run_state, samples)
        self._out.answer.value = policy_and_reference(titled(self._asked), "panes")

    def writing(self, answers: Answers, state: str, own: bool) -> None:
        """Show what has been written so far; `own` if the user typed the prompt."""
        if state != FINISHED:  # then it was shown by `sampled`
            if own:
                self._out.answer.value = policy_and_reference(titled(answers), "panes", state)
            else:
                self._out.samples.value = policy_and_reference(titled(answers))
        if state != self._state:
            self._state = state
            self._on_writing()

    def refused(self, error: Exception) -> None:
        """Show why a command was not carried out."""
        self._out.problem.value = elements.error_card(error)

    def refresh(self, worker: Driver) -> None:
        """Update the status, the curves and the table, each at its own rate.

        A setting that a person has changed is told at once.
        """
        if self._changed or self._telling.due():
            self._tell(worker)
        if self._sending.due():
            with self._sending.measure():
                self._out.curves.send()
        if self._listing.due():
            with self._listing.measure():
                self._on_change(worker)

    def settle(self, worker: Driver) -> None:
        """Show the very last state."""
        self._tell(worker)
        self._out.curves.send()
        self._on_change(worker)

    def ended(self, worker: Driver) -> None:
        """Show how it ended."""
        self.settle(worker)
        self._on_end(worker)

    def _tell(self, worker: Driver) -> None:
        self._changed = False
        with self._telling.measure():
            if worker.run_states:
                run_states = worker.run_states.values()
                self._out.status.value = "".join(map(elements.status, run_states))
                self._out.announcer.say(self._news.of_runs(run_states))
            else:
                state = "failed" if worker.error else "stopped"
                told = f"{state} before the first step"
                self._out.status.value = elements.waiting(state, told)
                self._out.announcer.say(told)
            if worker.error is not self._error:
                self._error = worker.error
                self._out.problem.value = elements.error_card(worker.error) if worker.error else ""

    def _show_samples(self, run_state: RunState, samples: tuple[Sample, ...]) -> None:
        self._shown = with_newest(self._shown, run_state, samples)
        self._out.samples.value = policy_and_reference(titled(self._shown))
