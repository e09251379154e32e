"""The thread that follows runs in their folders: shows what is new, asks for changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.train.events import EndEvent, SampleEvent, StepEvent
from workbench.view.live.elsewhere.followed_run import FollowedRun
from workbench.view.live.run_state import RunState
from workbench.view.live.screen_protocol import Screen

POLL, REST = 0.2, 1.0  # seconds between two looks: while there are news, and otherwise
INTERRUPTED = "interrupted"
OTHERS = "it runs in another process: only its settings can be changed, and it can be stopped"


class Follower:
    """Follows runs until it is closed, all have finished, or nobody wants it any more.

    Has the commands of a `Worker` as far as another process can be asked for them. One follows at
    a time: the one before is closed.

    Args:
        screen: shows what happens, on the thread.
        opened: called with a run that is shown from now on, or again from its start.
        wanted: whether there is still a widget that shows it.

    Attributes:
        run_states: the runs by name, those alone that have written something.
        error: None.
    """

    THREAD = "workbench-follow"
    writing = False
    _newest: Follower | None = None

    def __init__(
        self, folders: Sequence[Path], screen: Screen, opened: Callable[[RunState], None],
        wanted: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.run_states: dict[str, RunState] = {}
        self.error: BaseException | None = None
        self._runs = [FollowedRun(folder) for folder in folders]
        self._screen, self._opened, self._wanted = screen, opened, wanted
        self._commands: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._woken, self._closed, self._over = (threading.Event() for _ in range(3))
        self._told = dict[str, str]()  # by run: the error of the last look

    # -- from any thread ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin; returns at once."""
        if Follower._newest is not None:
            Follower._newest.close()
        Follower._newest = self
        threading.Thread(target=self._run, name=self.THREAD, daemon=True).start()

    def close(self) -> None:
        """Follow no longer; the runs go on."""
        self._closed.set()
        self._woken.set()

    @property
    def closed(self) -> bool:
        """Whether it follows no longer."""
        return self._closed.is_set()

    @property
    def over(self) -> bool:
        """Whether none of the runs goes on."""
        return self._over.is_set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until none of the runs goes on; whether that is so."""
        return self._over.wait(timeout)

    def call(self, function: Callable[[], object]) -> None:
        """Call `function` on the thread."""
        self._commands.put(function)
        self._woken.set()

    def set(self, name: str | None = None, **settings: Any) -> None:
        """Ask for live settings."""
        self._each(name, lambda state: None if state.ended else state.set(settings))

    def stop(self, name: str | None = None) -> None:
        """Ask for an end after the present step."""
        self._each(name, RunState.stop)

    def _each(self, name: str | None, act: Callable[[RunState], object]) -> None:
        for state in list(self.run_states.values()):
            if name in (None, state.name):
                self.call(lambda state=state: act(state))  # type: ignore[misc]

    def refuse(self, *_: object, **__: object) -> str:
        """What can't be asked of another process."""
        raise WorkbenchError(OTHERS)

    pause = resume = step = branch = sample = refuse

    # -- on the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wanted() and not self.closed:
                lively = self._look()
                ends = {state.ended for state in self.run_states.values()}
                if ends == {"finished"} and len(self.run_states) == len(self._runs):
                    return
                self._woken.wait(0 if lively else REST - POLL)
                self._woken.clear()
                self._closed.wait(POLL)
        finally:
            self._closed.set()
            self._over.set()

    def _look(self) -> bool:
        """Carry out commands, show what is new; whether there was anything."""
        while not self._commands.empty():
            self._try(self._commands.get())
        looks = [self._look_at(run) for run in self._runs]
        if self.closed or not self.run_states:
            return False
        self._try(lambda: self._screen.refresh(self))
        over = all(one.ended for one in self.run_states.values())
        if over != self.over:
            self._over.set() if over else self._over.clear()
            self._screen.ended(self)  # or no longer: in either case others may act now
        return any(looks)

    def _look_at(self, run: FollowedRun) -> bool:
        """Whether there was news of a run; an error is told once, and ends nothing."""
        try:
            lively, told = self._show_news(run), ""
        except Exception as error:
            lively, told = False, str(error)
            if told != self._told.get(run.name):
                self._screen.refused(error)
        self._told[run.name] = told
        return lively

    def _show_news(self, run: FollowedRun) -> bool:
        news = run.read()
        if not run.events:
            self._wait_for(run)
            return False
        state = self.run_states.get(run.name)
        if state is None and run.shown:  # it was taken out: renamed, or deleted
            return False
        if state is None or news.anew:
            state = self._open(run)
        else:
            for event in news.events:
                state.take_in(event)
                self._screen.event(state, event)
        if news.bad:
            told = f"{news.bad} lines of {run.folder / 'events.jsonl'} hold no event"
            self._screen.refused(WorkbenchError(told))
        self._ask(run, state)
        self._see_who_writes(run, state, bool(news.events))
        return bool(news.events)

    def _open(self, run: FollowedRun) -> RunState:
        state = RunState.of(cast(Run, run))  # has of it what is read here
        state.elsewhere = run.shown = True
        for event in (run.last(StepEvent), run.last(EndEvent)):
            if event is not None:
                state.take_in(event)
        self.run_states[run.name] = state
        self._screen.opened(state, None)
        if texts := run.last(SampleEvent):
            self._screen.event(state, texts)
        self._opened(state)
        return state

    def _ask(self, run: FollowedRun, state: RunState) -> None:
        """Send what was wished for, and show what was refused."""
        if not self._try(run.control.send):
            state.wanted.clear()
        for why, asked in run.control.refused():
            for name, value in asked.items():
                if state.wanted.get(name) == value:
                    del state.wanted[name]
            self._screen.refused(WorkbenchError(why))

    def _see_who_writes(self, run: FollowedRun, state: RunState, lively: bool) -> None:
        """A run without an end that no process writes was interrupted."""
        if lively:
            state.ended, state.note = "" if state.ended == INTERRUPTED else state.ended, ""
        writer = run.writer()
        if writer is None or state.ended in ("finished", "stopped"):
            return
        if writer:
            state.ended, state.note = "", f"last event at {run.since}, from {writer}"
        elif state.ended != INTERRUPTED:
            state.pause(False)
            state.wanted.clear()
            state.ended, state.note = INTERRUPTED, f"no process writes it since {run.since}"

    def _wait_for(self, run: FollowedRun) -> None:
        writer = run.writer()
        if writer is not None and not self.run_states:
            told = f"{writer} prepares it" if writer else "no process runs it yet"
            self._screen.waiting(f"{run.folder}: {told}")

    def _try(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except Exception as error:
            self._screen.refused(error)
            return False
        return True
