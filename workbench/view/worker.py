"""The thread that owns a live run, and its synchronous twin.

A `Worker` makes a run, asks it for event after event, and obeys commands between two of them.
Whoever calls a command only puts it into a queue; model, figure and output widgets belong to the
worker's thread alone. What happens is told to a `Screen`, so nothing here knows of widgets.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from workbench.models.sampling import SamplingConfig
from workbench.train.base import Progress
from workbench.train.events import Event, Sample
from workbench.train.run import Run
from workbench.view.lane import Lane

MakeRun = Callable[[Progress], Run]


class Screen(Protocol):
    """Where a worker shows what happens. All of it is called on the worker's thread."""

    def loading(self, text: str, share: float) -> None:
        """The run is being made; `share` of that is done."""

    def opened(self, lane: Lane, parent: Lane | None) -> None:
        """A run was made, or branched off `parent`."""

    def event(self, lane: Lane, event: Event) -> None:
        """A run said something."""

    def sampled(self, lane: Lane, samples: tuple[Sample, ...], own: bool) -> None:
        """The answer to a `sample` command; `own` if the prompts were the person's."""

    def refused(self, error: Exception) -> None:
        """A command failed; the runs go on."""

    def refresh(self, worker: Worker) -> None:
        """Called between steps: a chance to draw. Drawing too often is the screen's to avoid."""

    def settle(self, worker: Worker) -> None:
        """Nothing will change before the next command: show the very last state."""

    def ended(self, worker: Worker) -> None:
        """Every run has ended: show the outcome. Comes once, whatever happened before."""


class Worker:
    """Drives a run and its branches in turn, one event at a time.

    `start` does so on a thread of its own, and there is one of those in the process: the one before
    is stopped first. `run_here` is the synchronous twin. Commands come from any thread and may come
    before the start; where they name no run, they mean every run.

    Attributes:
        lanes: the runs by name, in the order in which they were made.
        error: the first thing that ended a run, or the making of one, before its time.
    """

    THREAD = "workbench-run"  # the name of its thread
    _newest: Worker | None = None
    _turn = threading.Lock()

    def __init__(self, make_run: MakeRun, screen: Screen) -> None:
        self.lanes: dict[str, Lane] = {}
        self.error: BaseException | None = None
        self._make_run, self._screen = make_run, screen
        self._commands: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._names = (f"branch {number}" for number in itertools.count(1))
        self._over, self._shown = threading.Event(), threading.Event()
        self._unwanted, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin on a thread; returns at once."""
        before = (self._take_turn(),)
        self._thread = threading.Thread(
            target=self._live, args=before, name=self.THREAD, daemon=True
        )
        self._thread.start()

    def run_here(self) -> None:
        """The same on the calling thread, until every run has ended; raises as `join` does."""
        self._retire(self._take_turn())
        self._work()
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

    @property
    def closed(self) -> bool:
        """Whether it takes no more commands."""
        return self._closed.is_set()

    @classmethod
    def close_newest(cls) -> None:
        """Stop the worker that was started last, if it still runs; returns at once."""
        if cls._newest is not None:
            cls._newest.close()

    # -- commands -----------------------------------------------------------------------------

    def call(self, function: Callable[[], object]) -> None:
        """Have `function` called on the worker's thread, between two steps."""
        self._commands.put(function)

    def set(self, name: str | None = None, **settings: float | str) -> None:
        """Change `beta`, `lr` or `loss` from the next step on."""
        self._each(name, lambda lane: lane.set(settings))

    def pause(self, name: str | None = None) -> None:
        """Hold after the present step."""
        self._each(name, Lane.pause)

    def resume(self, name: str | None = None) -> None:
        """Go on."""
        self._each(name, lambda lane: lane.pause(False))

    def step(self, name: str | None = None) -> None:
        """Take one step, then hold."""
        self._each(name, Lane.take_one_step)

    def stop(self, name: str | None = None) -> None:
        """End after the present step; the last evaluation and checkpoint are still made."""
        if name is None:
            self._unwanted.set()
        self._each(name, Lane.stop)

    def branch(self, name: str) -> str:
        """Copy this run as it stands; the name of the copy, which goes on beside it."""
        branch = next(self._names)
        self.call(lambda: self._open(self.lanes[name].branch(branch), self.lanes[name]))
        return branch

    def sample(
        self, prompts: list[str], sampling: SamplingConfig | None = None, name: str | None = None
    ) -> None:
        """Have policy and reference answer; also while paused, and after the end.

        Without prompts, those of the run itself are answered.
        """

        def answer(lane: Lane) -> None:
            asked = prompts or lane.run.prompts
            self._screen.sampled(lane, lane.run.sample(asked, sampling), own=bool(prompts))

        self._each(name, answer)

    def close(self) -> None:
        """Stop, and take no more commands."""
        self._closed.set()
        self.stop()

    # -- the thread ---------------------------------------------------------------------------

    def _take_turn(self) -> Worker | None:
        with Worker._turn:
            before, Worker._newest = Worker._newest, self
        return before

    def _retire(self, before: Worker | None) -> None:
        """Two runs at once would share cores and memory: wait for the one before."""
        if before is None or before._thread is None or not before._thread.is_alive():
            return
        before.close()
        self._screen.loading("waiting for the run before this one to end", 0.0)
        before._thread.join()

    def _live(self, before: Worker | None) -> None:
        self._retire(before)
        self._work()
        while self.lanes and not self.closed:
            self._obey(self._commands.get())
            self._screen.settle(self)
        self._closed.set()

    def _work(self) -> None:
        """Make the run, drive it and its branches to their ends, show the very last state."""
        try:
            self._open(Lane.of(self._make_run(self._progress)))
            while not all(lane.ended for lane in self.lanes.values()):
                for lane in list(self.lanes.values()):
                    self._obey_all()
                    if lane.moves:
                        self._advance(lane)
        except _Abandoned:
            pass
        except BaseException as error:  # an interrupted cell too: the twin raises it again
            self._fail(error)
        finally:
            self._finish()

    def _fail(self, error: BaseException) -> None:
        """Something other than a run failed: that ends all of them."""
        self.error = self.error or error
        for lane in self.lanes.values():
            lane.ended = lane.ended or "failed"

    def _finish(self) -> None:
        self._over.set()
        try:
            self._screen.ended(self)
        except Exception as error:
            self._fail(error)
        finally:
            self._shown.set()

    def _progress(self, text: str, share: float) -> None:
        if self._unwanted.is_set():
            raise _Abandoned
        self._screen.loading(text, share)

    def _advance(self, lane: Lane) -> None:
        """Ask for the next event of one run. A run that fails leaves the others going."""
        try:
            event = next(lane.run)
        except StopIteration:
            lane.ended = lane.ended or "finished"
        except Exception as error:
            lane.ended, self.error = "failed", self.error or error
        else:
            lane.take_in(event)
            self._screen.event(lane, event)
        self._screen.refresh(self)

    def _obey_all(self) -> None:
        """Carry out what was commanded; while no run moves, wait for commands."""
        while True:
            idle = not any(lane.moves for lane in self.lanes.values())
            if self._commands.empty():
                if not idle or all(lane.ended for lane in self.lanes.values()):
                    return
                self._screen.settle(self)
            self._obey(self._commands.get())

    def _obey(self, command: Callable[[], object]) -> None:
        try:
            command()
        except Exception as error:  # a bad prompt must not cost a run
            self._screen.refused(error)
        self._screen.refresh(self)

    def _open(self, lane: Lane, parent: Lane | None = None) -> None:
        self.lanes[lane.name] = lane
        self._screen.opened(lane, parent)

    def _each(self, name: str | None, act: Callable[[Lane], None]) -> None:
        def command() -> None:
            for lane in list(self.lanes.values()):
                if name in (None, lane.name):
                    act(lane)

        self.call(command)


class _Abandoned(Exception):  # noqa: N818 - not an error
    """Stop was pressed while the run was still being made."""
