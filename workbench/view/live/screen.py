"""Where a live run is shown: output widgets, written by the worker's thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import ipywidgets as widgets

from workbench.train.events import EvalEvent, Event, Sample, SampleEvent
from workbench.view.html import elements
from workbench.view.html import text_table as compare
from workbench.view.html.answer_panes import answer_panes
from workbench.view.live.run_state import RunState
from workbench.view.live.screen_protocol import Driver
from workbench.view.live.worker import Answers
from workbench.view.live.writing import FINISHED
from workbench.view.plot.live_figure import LiveFigure, Pace

FRAMES, FRAME_SHARE = 5, 0.03  # pictures a second, and their share of all time, at most
STATUSES, STATUS_SHARE = 10, 0.01


def _html(name: str, value: str = "") -> widgets.HTML:
    return widgets.HTML(value).add_class(name)


@dataclass
class Outputs:
    """The widgets that show and are never set by a person."""

    status: widgets.HTML = field(
        default_factory=lambda: _html(
            "wb-statuses", elements.waiting("idle", "press Start to train")
        )
    )
    picture: widgets.Image = field(
        default_factory=lambda: widgets.Image(value=LiveFigure().png()).add_class("wb-picture")
    )
    facts: widgets.HTML = field(default_factory=lambda: _html("wb-footer"))
    problem: widgets.HTML = field(default_factory=lambda: _html("wb-problem"))
    answer: widgets.HTML = field(default_factory=lambda: _html("wb-answer", answer_panes({})))
    samples: widgets.HTML = field(default_factory=lambda: _html("wb-samples"))


class LiveScreen:
    """What one worker shows in `outputs`.

    `on_branch` is called when a branch was made, `on_end` when every run has ended, `on_writing`
    when texts begin or cease to be written.
    """

    def __init__(
        self,
        outputs: Outputs,
        on_branch: Callable[[RunState], None],
        on_end: Callable[[Driver], None],
        on_writing: Callable[[], None],
    ) -> None:
        self._out, self._on_branch, self._on_end = outputs, on_branch, on_end
        self._on_writing, self._state = on_writing, FINISHED
        self._figure: LiveFigure | None = None
        self._drawing, self._telling = Pace(FRAMES, FRAME_SHARE), Pace(STATUSES, STATUS_SHARE)
        self._doing = ""
        self._stale = False  # the picture lags behind the events
        self._error: BaseException | None = None
        self._shown: Answers = {}
        self._asked: Answers = {}

    def loading(self, text: str, share: float) -> None:
        """Show what is being done before the first step."""
        now = time.perf_counter()
        if text != self._doing or self._telling.due(now):
            self._doing = text
            self._out.status.value = elements.waiting("loading", f"loading · {text}", share)
            self._telling.drew(now, time.perf_counter())

    def opened(self, run_state: RunState, parent: RunState | None) -> None:
        """Make room for a run: a new figure, or dashed lines for a branch."""
        if parent is not None and self._figure is not None:
            self._figure.history.fork(parent.name, run_state.name)
            self._stale = True
            return self._on_branch(run_state)
        self._figure = LiveFigure()
        self._figure.history.total = run_state.total
        self._figure.png()  # ticks and titles take longest: draw them before the training starts
        self._out.facts.value = elements.facts(run_state)
        for cleared in (self._out.problem, self._out.samples):
            cleared.value = ""
        self._out.answer.value = answer_panes({})

    def event(self, run_state: RunState, event: Event) -> None:
        """Take in what a run said."""
        assert self._figure is not None
        self._figure.add(run_state.name, event)
        self._stale = True
        if isinstance(event, EvalEvent) and event.step == 0:
            self._draw()  # nothing is trained yet that this could slow down
        if isinstance(event, SampleEvent):
            self._show_samples(run_state, event.samples)

    def sampled(self, run_state: RunState, samples: tuple[Sample, ...], own: bool) -> None:
        """Show the answer to the person's own prompt beside the reference, others in the table."""
        self._out.problem.value = ""
        if not own:
            return self._show_samples(run_state, samples)
        self._asked = _comparable(self._asked, run_state, samples)
        self._out.answer.value = answer_panes(_beside(self._asked), FINISHED)

    def writing(self, answers: Answers, state: str, own: bool) -> None:
        """Show what has been written so far; `own` if the prompt was the person's."""
        if state != FINISHED:  # then it was shown by `sampled`
            if own:
                self._out.answer.value = answer_panes(_beside(answers), state)
            else:
                self._out.samples.value = compare.side_by_side(_by_title(answers))
        if state != self._state:
            self._state = state
            self._on_writing()

    def refused(self, error: Exception) -> None:
        """Show why a command was not carried out."""
        self._out.problem.value = elements.error_card(error)

    def refresh(self, worker: Driver) -> None:
        """Tell and draw, each in its own pace."""
        if self._telling.due(time.perf_counter()):
            self._tell(worker)
        begin = time.perf_counter()
        if self._stale and self._drawing.due(begin):
            self._draw()
            self._drawing.drew(begin, time.perf_counter())

    def settle(self, worker: Driver) -> None:
        """Show the very last state."""
        self._tell(worker)
        if self._stale:
            self._draw()

    def ended(self, worker: Driver) -> None:
        """Show how it ended."""
        self._tell(worker)
        self._draw(final=True)
        self._on_end(worker)

    def _tell(self, worker: Driver) -> None:
        begin = time.perf_counter()
        if worker.run_states:
            self._out.status.value = "".join(map(elements.status, worker.run_states.values()))
        else:
            state = "failed" if worker.error else "stopped"
            self._out.status.value = elements.waiting(state, f"{state} before the first step")
        if worker.error is not self._error:
            self._error = worker.error
            self._out.problem.value = elements.error_card(worker.error) if worker.error else ""
        self._telling.drew(begin, time.perf_counter())

    def _draw(self, final: bool = False) -> None:
        if self._figure is not None:
            self._out.picture.value = self._figure.png(final)
            self._stale = False

    def _show_samples(self, run_state: RunState, samples: tuple[Sample, ...]) -> None:
        self._shown = _comparable(self._shown, run_state, samples)
        self._out.samples.value = compare.side_by_side(_by_title(self._shown))


def _by_title(kept: Answers) -> dict[str, tuple[Sample, ...]]:
    return {
        f"{name if len(kept) > 1 else 'policy'} · step {step}": texts
        for name, (step, texts) in kept.items()
    }


def _beside(answers: Answers) -> dict[str, str]:
    """The reference's answer to the one prompt, then those of the runs."""
    titled = {title: samples[0] for title, samples in _by_title(answers).items()}
    reference = next(iter(titled.values())).reference
    return {"reference": reference} | {title: one.policy for title, one in titled.items()}


def _comparable(kept: Answers, run_state: RunState, samples: tuple[Sample, ...]) -> Answers:
    """The samples of all runs that answered just these prompts with just this seed."""
    questions = [(sample.prompt, sample.reference) for sample in samples]
    alike = {
        name: (step, texts)
        for name, (step, texts) in kept.items()
        if [(text.prompt, text.reference) for text in texts] == questions
    }
    return alike | {run_state.name: (run_state.step, samples)}
