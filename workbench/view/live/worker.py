"""The thread that owns a live run, and its synchronous form.

A `Worker` makes a run, takes event after event from it, and carries out commands between two of
them. Calling a command only puts it into a queue; model, figure and output widgets belong to the
worker's thread alone. A `Screen` is called with what happens, so nothing here knows of widgets.
While texts are written, the runs wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from workbench.generation.config import SamplingConfig
from workbench.generation.shown import described
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.events import Sample
from workbench.view.live.model_thread import ModelThread
from workbench.view.live.run_state import RunState, branch_names
from workbench.view.live.screen_protocol import Screen
from workbench.view.live.writing import FINISHED, Draft, Writing, reference_and_policies

MakeRun = Callable[[Progress], Run]
Answers = dict[str, tuple[int, tuple[Sample, ...]]]  # by run: the step, and the answers


class Worker(ModelThread):
    """Drives a run and its branches in turn, one event at a time.

    `start` does so on a thread of its own; the thread that was started before is stopped first.
    `run_here` is the synchronous form. Commands without the name of a run are for every run.
    `branches` are names for branches; a run that has `ended` already is asked, and not trained.

    Attributes:
        run_states: the runs by name, in the order in which they were made.
        error: the first error that ended a run or kept one from being made.
    """

    def __init__(
        self, make_run: MakeRun, screen: Screen, branches: Iterator[str] | None = None,
        ended: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self.run_states: dict[str, RunState] = {}
        self.error: BaseException | None = None
        self._make_run, self._screen = make_run, screen
        self._names, self._ended = branches or branch_names(), ended
        self._over, self._shown, self._abandoned = (threading.Event() for _ in range(3))

    # -- start and end -------------------------------------------------------------------------

    def run_here(self) -> None:
        """The same on the calling thread, until every run has ended; raises as `join` does."""
        self._end_previous(self._become_newest())
        self._drive()
        self.join()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every run has ended; whether they have. Raises `error` if there is one."""
        shown = self._shown.wait(timeout)
        if shown and self.error is not None:
            raise self.error
        return shown

    @property
    def over(self) -> bool:
        """Whether every run has ended."""
        return self._over.is_set()

    # -- commands -----------------------------------------------------------------------------

    def set(self, name: str | None = None, **settings: float | str) -> None:
        """Change live settings from the next step on."""
        self._each(name, lambda run_state: run_state.set(settings))

    def pause(self, name: str | None = None) -> None:
        """Pause after the present step."""
        self._each(name, RunState.pause)

    def resume(self, name: str | None = None) -> None:
        """Go on after a pause."""
        self._each(name, lambda run_state: run_state.pause(False))

    def step(self, name: str | None = None) -> None:
        """Take one step, then pause."""
        self._each(name, RunState.take_one_step)

    def stop(self, name: str | None = None) -> None:
        """End after the present step; the last evaluation and checkpoint are still made.

        Texts that are being written are cancelled at once.
        """
        if name is None:
            self._abandoned.set()
        self.call(self._give_up)
        self._each(name, RunState.stop)

    def branch(self, name: str) -> str:
        """Copy this run as it is now; returns the name of the copy, which goes on beside it."""
        branch = next(self._names)
        self.call(lambda: self._open(self.run_states[name].branch(branch), self.run_states[name]))
        return branch

    def sample(
        self,
        prompts: list[str],
        sampling: SamplingConfig | None = None,
        name: str | None = None,
        show: Callable[[Answers, str], None] = lambda answers, state: None,
    ) -> None:
        """Let reference and policy answer side by side; also while paused, and after the end.

        Without prompts, those of the run itself are answered. The runs wait meanwhile; another
        `sample` replaces this one, and `stop` cancels it.

        Args:
            show: called with the answers so far, a few times per second, and a state of `Draft`.
        """
        self.call(lambda: self._begin_sampling(prompts, sampling, name, show))

    def _begin_sampling(
        self,
        prompts: list[str],
        sampling: SamplingConfig | None,
        name: str | None,
        show: Callable[[Answers, str], None],
    ) -> None:
        states = [state for state in self.run_states.values() if name in (None, state.name)]
        if not states:
            return
        first = states[0].run
        asked, how = prompts or first.prompts, sampling or first.shown_sampling
        drawn = described(how, [first.policy])

        def receive(draft: Draft) -> None:
            answers = list(zip(states, draft.samples(asked, how.seed, drawn), strict=True))
            if draft.state == FINISHED:
                for state, samples in answers:
                    self._screen.sampled(state, samples, own=bool(prompts))
            show({state.name: (state.step, samples) for state, samples in answers}, draft.state)
            if draft.error is not None:
                self._screen.refused(draft.error)

        runs, every = ([one.run for one in some] for some in (states, self.run_states.values()))
        handles = reference_and_policies(runs, every)
        self._begin(Writing(handles, asked, how, receive))

    def close(self) -> None:
        """Stop, and take no more commands."""
        super().close()
        self.stop()

    # -- the thread ---------------------------------------------------------------------------

    def _wait_for(self, thread: threading.Thread) -> None:
        self._screen.loading("waiting for the run before this one to end", 0.0)
        super()._wait_for(thread)

    def _work(self) -> None:
        """Drive the runs to their ends; after that, carry out commands."""
        self._drive()
        while self.run_states and not self.closed:
            self._do_next()
            if not self.writing:
                self._screen.settle(self)

    def _drive(self) -> None:
        """Make the run, drive it and its branches to their ends, show the very last state."""
        try:
            self._open(RunState.of(self._make_run(self._progress), self._ended))
            while not all(run_state.ended for run_state in self.run_states.values()):
                for run_state in list(self.run_states.values()):
                    self._carry_out_all()
                    if run_state.active:
                        self._advance(run_state)
        except _Abandoned:
            pass
        except BaseException as error:  # an interrupted cell too: `run_here` raises it again
            self._fail(error)
        finally:
            self._finish()

    def _fail(self, error: BaseException) -> None:
        """Something other than a run failed: that ends all of them."""
        self.error = self.error or error
        for run_state in self.run_states.values():
            run_state.ended = run_state.ended or "failed"

    def _finish(self) -> None:
        self._over.set()
        try:
            self._screen.ended(self)
        except Exception as error:
            self._fail(error)
        finally:
            self._shown.set()

    def _progress(self, text: str, share: float) -> None:
        if self._abandoned.is_set():
            raise _Abandoned
        self._screen.loading(text, share)

    def _advance(self, run_state: RunState) -> None:
        """Ask for the next event of one run. A run that fails leaves the others going."""
        try:
            event = next(run_state.run)
        except StopIteration:
            run_state.ended = run_state.ended or "finished"
        except Exception as error:
            run_state.ended, self.error = "failed", self.error or error
        else:
            run_state.take_in(event)
            self._screen.event(run_state, event)
        self._screen.refresh(self)

    def _carry_out_all(self) -> None:
        """Carry out all commands and finish the writing; while all runs are paused, wait."""
        while True:
            if self._commands.empty() and not self.writing:
                idle = not any(run_state.active for run_state in self.run_states.values())
                if not idle or all(run_state.ended for run_state in self.run_states.values()):
                    return
                self._screen.settle(self)
            self._do_next()

    def _carry_out(self, command: Callable[[], object]) -> None:
        super()._carry_out(command)
        self._screen.refresh(self)

    def _refuse(self, error: Exception) -> None:
        self._screen.refused(error)  # a bad prompt must not end a run

    def _open(self, run_state: RunState, parent: RunState | None = None) -> None:
        self.run_states[run_state.name] = run_state
        self._screen.opened(run_state, parent)
        if run_state.active and not run_state.run.events:  # a minute for a real model
            self._screen.waiting("evaluating before the first step")

    def _each(self, name: str | None, act: Callable[[RunState], None]) -> None:
        def command() -> None:
            for run_state in list(self.run_states.values()):
                if name in (None, run_state.name):
                    act(run_state)

        self.call(command)


class _Abandoned(Exception):  # noqa: N818 - not an error
    """Stop was pressed while the run was still being made."""
