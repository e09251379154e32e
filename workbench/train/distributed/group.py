"""The group of processes: joined, looked over, and ended by an error in any of them.

A process that waits for another in a sum would wait for ever where that one has an error. So each
one watches for the word of the others, in the store that they met by.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib.metadata import version
from typing import Any, NoReturn

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from workbench.errors import WorkbenchError
from workbench.train.distributed.processes import rank, world_size

FAILED = "workbench/failed"
LAUNCHER = "WORKBENCH_LAUNCHER"  # the number of the process by which the others end
WATCH_SECONDS = 0.2
PATIENCE = 3.0  # seconds for another process's own word about what broke the connection
TO_MEET = timedelta(minutes=10)
TO_WAIT = timedelta(days=1)  # for one that tokenises a large file; who is gone is noticed at once
EXIT = 2  # as for anything that a person can mend

Tell = Callable[[str], None]


def started_together() -> int:
    """How many processes `torchrun`, or what sets the same variables, started with this one."""
    try:
        return int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1
    except ValueError as error:
        raise WorkbenchError(f"WORLD_SIZE={os.environ['WORLD_SIZE']!r} is no number") from error


@contextmanager
def joined(tell: Tell) -> Iterator[None]:
    """This process in the group that it was started with; nothing happens for one alone.

    A WorkbenchError in any process ends all of them with exit code 2, and the main process says it
    by `tell`.

    Raises:
        WorkbenchError: the processes can't meet.
    """
    if started_together() == 1:
        yield
        return
    if not distributed.is_initialized():  # as Ray does it before
        _meet()
    watch = _Watch(tell)
    try:
        watch.begin()
        yield
        distributed.barrier()  # the store may be that of a process which would be gone
        watch.end()
        distributed.destroy_process_group()
    except WorkbenchError as error:
        watch.fail(str(error))
    except Exception as error:
        line = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        if not _is_lost(error):
            traceback.print_exc()
            watch.fail(f"{type(error).__name__}: {line}")
        time.sleep(PATIENCE)  # within it, `watch` may end this process for a better reason
        watch.fail(f"the connection to another process of this run is lost ({line[:160]})", False)


def _meet() -> None:
    """Make the group: gloo for what is on processors, NCCL for what is on GPUs."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    try:
        with _ended_by_signals():
            store, number, count = next(rendezvous("env://", timeout=TO_MEET))
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if on_gpu else "gloo", store=store, rank=number,
                world_size=count, timeout=TO_WAIT,
            )  # fmt: skip
    except (RuntimeError, ValueError, distributed.DistError) as error:
        reason = " ".join(str(error).split())
        in_use = "EADDRINUSE" in reason or "address already in use" in reason.lower()
        why = "this port is in use; choose another" if in_use else reason[:200]
        raise WorkbenchError(
            f"the {started_together()} processes of this run can't meet at {where}, MASTER_ADDR "
            f"and MASTER_PORT: {why}"
        ) from error


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM end this process at once: Python would hear them after the wait
    for the others, who may be gone."""
    if threading.current_thread() is not threading.main_thread():  # as under Ray Train
        yield
        return
    before = {
        number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_lost(error: Exception) -> bool:
    """Whether another process is gone, by what the libraries that send say then."""
    words = ("gloo", "nccl", "connection", "broken pipe", "timed out", "tcpstore")
    known = isinstance(error, RuntimeError | distributed.DistError)
    return known and any(word in str(error).lower() for word in words)


def require_alike(settings: Mapping[str, Any]) -> None:
    """Raise WorkbenchError where processes have other versions or other settings."""
    if world_size() == 1:
        return
    own = {
        "workbench": version("dpo-workbench"),
        "torch": torch.__version__,
        "Python": platform.python_version().rpartition(".")[0],
        **{name: repr(value) for name, value in settings.items()},
    }
    found: list[dict[str, str]] = [{}] * world_size()
    distributed.all_gather_object(found, own)
    for number, other in enumerate(found):
        for name, value in found[0].items():
            if other.get(name) != value:
                raise WorkbenchError(
                    f"{name} is {value} in process 0 and {other.get(name)} in process {number}; "
                    "all need the same"
                )


class _Watch:
    """Ends this process as soon as another one says that it failed."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._ended, self._once = tell, threading.Event(), threading.Lock()
        self._rank = rank()  # now, as `main_first` lets each process count as the only one
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        # A connection of its own: that of the group is busy while it waits.
        self._store = distributed.TCPStore(host, port, is_master=False)  # type: ignore[attr-defined]
        launched = os.environ.get(LAUNCHER) == str(os.getppid())  # else it is inherited
        self._launcher = os.getppid() if launched else 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def begin(self) -> None:
        """Look from now on; of processes that `torchrun` restarted the store may hold a word."""
        if not self._rank:
            self._store.delete_key(FAILED)
        distributed.barrier()
        self._thread.start()

    def end(self) -> None:
        """All went well."""
        self._ended.set()
        self._thread.join()

    def fail(self, message: str, own: bool = True) -> NoReturn:
        """Tell the others why they have to end, and end; `own`: the reason lies in this process."""
        self._ended.set()
        if self._rank:
            message = f"process {self._rank} on {socket.gethostname()}: {message}"
        with suppress(RuntimeError, distributed.DistError):
            first = self._store.compare_set(FAILED, "", json.dumps(message))
            message = message if own else json.loads(first)
        if not self._rank:
            self._leave(message)
        time.sleep(2 * PATIENCE)  # until the main process has said it, and whoever started us ends
        self._leave()

    def _look(self) -> None:
        while not self._ended.wait(WATCH_SECONDS):
            if self._launcher not in (0, os.getppid()):  # it was killed, and sent no signal
                self._launcher = 0
                os.kill(os.getpid(), signal.SIGTERM)
            with suppress(RuntimeError, distributed.DistError):
                if self._store.check([FAILED]):
                    message = json.loads(self._store.get(FAILED))
                    if self._rank:
                        time.sleep(PATIENCE)  # so that the one that says it is seen to fail first
                    if not self._ended.is_set():
                        self._leave(None if self._rank else message)

    def _leave(self, message: str | None = None) -> NoReturn:
        """End at once: other threads may wait for processes that are gone."""
        with self._once:
            if message is not None:
                self._tell(message)
                time.sleep(2 * WATCH_SECONDS)  # the store may be this process's
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(EXIT)
