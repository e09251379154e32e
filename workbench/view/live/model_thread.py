"""The one thread of the process that uses models, by commands and by texts that it writes.

Whoever wants something of a model puts it into the thread's queue, so that no model is used from
two threads at once. A view without a run of its own is a guest on the thread that is at work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from workbench.view.live.writing import Writing


class ModelThread:
    """Carries out commands in their order; between two of them it writes, a token at a time.

    There is one of them at work in the process: one that starts closes the one before and waits for
    its end. Commands come from any thread and may come before the start.
    """

    THREAD = "workbench-run"  # its name
    _newest: ModelThread | None = None
    _turn = threading.RLock()

    def __init__(self) -> None:
        self._commands: SimpleQueue[Callable[[], object] | Writing] = SimpleQueue()
        self._closed = threading.Event()
        self._door, self._left = threading.Lock(), False
        self._thread: threading.Thread | None = None
        self._writing: Writing | None = None

    # -- from any thread ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin; returns at once."""
        with ModelThread._turn:
            before = (self._take_turn(),)
            self._thread = threading.Thread(
                target=self._live, args=before, name=self.THREAD, daemon=True
            )
            self._thread.start()

    @classmethod
    def at_work(cls) -> ModelThread:
        """The one that takes commands now, be it that of a live run; where there is none, a new
        one."""
        with ModelThread._turn:
            newest = ModelThread._newest
            if newest is None or newest.closed or newest._thread is None:
                newest = ModelThread()
                newest.start()
            return newest

    @classmethod
    def close_newest(cls) -> None:
        """Stop the one that was started last, if it still takes commands; returns at once."""
        if ModelThread._newest is not None:
            ModelThread._newest.close()

    @property
    def closed(self) -> bool:
        """Whether it takes no more commands."""
        return self._closed.is_set()

    @property
    def writing(self) -> bool:
        """Whether texts are being written."""
        return self._writing is not None

    def call(self, function: Callable[[], object]) -> None:
        """Have `function` called on the thread."""
        self._commands.put(function)

    def write(self, writing: Writing) -> None:
        """Have texts written, in place of those that are being written."""
        with self._door:
            if not self._left:
                return self._commands.put(writing)
        writing.stop()

    def close(self) -> None:
        """Give up what is being written, and take no more commands."""
        self._closed.set()
        self.call(lambda: None)  # it may be waiting for one

    # -- on the thread ------------------------------------------------------------------------

    def _take_turn(self) -> ModelThread | None:
        with ModelThread._turn:
            before, ModelThread._newest = ModelThread._newest, self
        return before

    def _live(self, before: ModelThread | None) -> None:
        try:
            self._retire(before)
            self._work()
        finally:
            self._leave()

    def _retire(self, before: ModelThread | None) -> None:
        """Two at once would share cores, memory and models: wait for the one before."""
        if before is None or before._thread is None or not before._thread.is_alive():
            return
        before.close()
        self._wait_for(before._thread)

    def _wait_for(self, thread: threading.Thread) -> None:
        thread.join()

    def _work(self) -> None:
        """Do what is asked until nothing more is."""
        while not self.closed:
            self._do_next()

    def _leave(self) -> None:
        """Nobody waits for texts that will not come."""
        self._closed.set()
        self._obey(self._give_up)
        with self._door:
            self._left = True
        while not self._commands.empty():
            if isinstance(command := self._commands.get(), Writing):
                self._obey(command.stop)

    def _do_next(self) -> None:
        """One command; where there is none, a token; where nobody writes, wait for a command."""
        if self._writing is not None and self._commands.empty():
            self._obey(self._write_on)
            return
        command = self._commands.get()
        if isinstance(command, Writing):
            writing = command
            self._obey(lambda: self._begin(writing))
        else:
            self._obey(command)

    def _obey(self, command: Callable[[], object]) -> None:
        try:
            command()
        except Exception as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        """A command failed. Those whose failures matter to a person say so themselves."""

    def _begin(self, writing: Writing) -> None:
        if writing.cancelled:
            return writing.stop()
        self._obey(self._give_up)  # a display that fails is its own affair
        self._writing = writing
        writing.begin()

    def _write_on(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None and writing.advance():
            self._writing = writing

    def _give_up(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.stop()
