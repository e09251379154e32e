"""The one thread of the process that uses models: for commands, and for texts that models write.

Everything that needs a model is put into the thread's queue, so that no model is used from two
threads at once. A view without a run of its own uses the thread that is running already.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from workbench.view.live.writing import Writing


class ModelThread:
    """Carries out commands in their order; between two of them it writes, one token at a time.

    Only one runs in the process: one that starts closes the one before and waits for its end.
    Commands come from any thread and may come before the start.
    """

    THREAD = "workbench-run"  # its name
    _newest: ModelThread | None = None
    _start_lock = threading.RLock()

    def __init__(self) -> None:
        self._commands: SimpleQueue[Callable[[], object] | Writing] = SimpleQueue()
        self._closed = threading.Event()
        self._write_lock, self._left = threading.Lock(), False
        self._thread: threading.Thread | None = None
        self._before: ModelThread | None = None
        self._writing: Writing | None = None

    # -- from any thread ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin; returns at once."""
        with ModelThread._start_lock:
            self._before = self._become_newest()
            self._thread = threading.Thread(target=self._run, name=self.THREAD, daemon=True)
            self._thread.start()

    @classmethod
    def at_work(cls) -> ModelThread:
        """The thread that takes commands now, a live run's or a new one."""
        with ModelThread._start_lock:
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
        """Queue `function` to be called on the thread."""
        self._commands.put(function)

    def write(self, writing: Writing) -> None:
        """Queue texts to be written; those that are being written are cancelled."""
        with self._write_lock:
            if not self._left:
                return self._commands.put(writing)
        writing.stop()

    def close(self) -> None:
        """Cancel what is being written, and take no more commands."""
        self._closed.set()
        self.call(lambda: None)  # it may be waiting for one

    # -- on the thread ------------------------------------------------------------------------

    def _become_newest(self) -> ModelThread | None:
        with ModelThread._start_lock:
            before, ModelThread._newest = ModelThread._newest, self
        return before

    def _run(self) -> None:
        try:
            self._end_previous(self._before)
            self._before = None  # nothing here may keep its models
            self._work()
        finally:
            self._leave()

    def _end_previous(self, before: ModelThread | None) -> None:
        """Close the thread before this one and wait for it: two would share cores and models."""
        if before is None or before._thread is None or not before._thread.is_alive():
            return
        before.close()
        self._wait_for(before._thread)

    def _wait_for(self, thread: threading.Thread) -> None:
        thread.join()

    def _work(self) -> None:
        """Carry out commands until it is closed."""
        while not self.closed:
            self._do_next()

    def _leave(self) -> None:
        """End all writings that are still queued, so that no view waits for them."""
        self._closed.set()
        self._carry_out(self._give_up)
        with self._write_lock:
            self._left = True
        while not self._commands.empty():
            if isinstance(command := self._commands.get(), Writing):
                self._carry_out(command.stop)

    def _do_next(self) -> None:
        """Carry out one command; without one, write a token; without a writing, wait for one."""
        if self._writing is not None and self._commands.empty():
            self._carry_out(self._write_on)
            return
        command = self._commands.get()
        if isinstance(command, Writing):
            writing = command
            self._carry_out(lambda: self._begin(writing))
        else:
            self._carry_out(command)

    def _carry_out(self, command: Callable[[], object]) -> None:
        try:
            command()
        except Exception as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        """A command failed. Here it is ignored: writings report their own errors."""

    def _begin(self, writing: Writing) -> None:
        if writing.cancelled:
            return writing.stop()
        self._carry_out(self._give_up)  # a display that fails must not end the thread
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
