"""Processes that meet, and end together where one of them has an error."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from workbench.errors import WorkbenchError
from workbench.train import distributed
from workbench.train.distributed import group
from workbench.train.distributed import processes as processes_of_run


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


def own_error(rank: int) -> None:
    if rank == 1:
        raise WorkbenchError("data.jsonl is not there")
    distributed.total(torch.ones(()))  # waits for the other


def other_settings(rank: int) -> None:
    distributed.require_alike({"beta": 0.1 * (1 + rank)})


def other_version(rank: int) -> None:
    torch.__version__ = f"2.{rank}"  # type: ignore[assignment]
    distributed.require_alike({})


def killed(rank: int) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.total(torch.ones(()))


def defect(rank: int) -> None:
    if rank == 1:
        raise ZeroDivisionError("no such thing")
    distributed.total(torch.ones(()))


def all_is_well(rank: int) -> None:
    assert float(distributed.total(torch.ones(()))) == 2


CASES: dict[str, tuple[Callable[[int], None], str, tuple[int, int]]] = {
    "error": (own_error, r"process 1 on \S+: data.jsonl is not there", (2, 2)),
    "settings": (other_settings, "beta is 0.1 in process 0 and 0.2 in process 1; all need", (2, 2)),
    "version": (other_version, "torch is 2.0 in process 0 and 2.1 in process 1; all", (2, 2)),
    "killed": (killed, "the connection to another process of this run is lost", (2, -9)),
    "defect": (defect, r"process 1 on \S+: ZeroDivisionError: no such thing", (2, 2)),
    "well": (all_is_well, "", (0, 0)),
}


def take_part(name: str, rank: int, port: int, said: str) -> None:
    """One of two processes, as `torchrun` would start it."""
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)
    }  # fmt: skip

    def tell(message: str) -> None:
        with open(said, "a") as file:
            file.write(f"{rank} {message}\n")

    with distributed.joined(tell):
        CASES[name][0](rank)


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "workbench.train.distributed"])
    return context


@pytest.mark.parametrize("name", CASES)
def test_an_error_in_one_process_ends_all_with_its_line(
    processes: ForkServerContext, tmp_path: Path, name: str
) -> None:
    _, line, codes = CASES[name]
    said, port = tmp_path / "said", free_port()
    both = [
        processes.Process(target=take_part, args=(name, rank, port, str(said))) for rank in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join(60)  # for ever, where they wait for each other
    assert tuple(one.exitcode for one in both) == codes
    lines = said.read_text().splitlines() if said.exists() else []
    assert len(lines) == bool(line), "the main process says it, once"
    assert all(re.match(rf"0 {line}", found) for found in lines)


def test_the_main_process_leaves_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What started them tells of the first that ended: else of one that only followed."""
    done: list[Any] = []
    store = SimpleNamespace(check=lambda keys: True, get=lambda key: json.dumps("it is broken"))

    class LeftError(Exception):
        pass

    def leave(message: str | None) -> None:
        done.append(message)
        raise LeftError

    for rank in (0, 1):
        watch = group._Watch.__new__(group._Watch)
        watch._ended, watch._store = threading.Event(), store  # type: ignore[assignment]
        monkeypatch.setattr(watch, "_leave", leave)
        watch._rank, watch._launcher = rank, 0
        monkeypatch.setattr("time.sleep", done.append)
        with processes_of_run._alone(), pytest.raises(LeftError):  # as while a cache is filled
            watch._look()
    assert done == ["it is broken", group.PATIENCE, None]
    assert group.PATIENCE > 2 * group.WATCH_SECONDS


@pytest.mark.parametrize("launcher", [None, -1, 5])
def test_a_launcher_that_did_not_start_this_process_is_none_of_its_own(
    monkeypatch: pytest.MonkeyPatch, launcher: int | None
) -> None:
    """Its number is inherited by all that a process starts."""
    environment(monkeypatch, MASTER_ADDR="localhost", MASTER_PORT=1)
    monkeypatch.delenv(group.LAUNCHER, raising=False)
    if launcher is not None:
        monkeypatch.setenv(group.LAUNCHER, str(launcher))
    monkeypatch.setattr(os, "getppid", lambda: 5)
    monkeypatch.setattr(torch.distributed, "TCPStore", lambda *_, **__: None)
    assert group._Watch(print)._launcher == (5 if launcher == 5 else 0)


@pytest.mark.parametrize("gone", [False, True])
def test_a_process_ends_in_good_order_where_its_launcher_was_killed(
    monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    done: list[Any] = []
    parents = iter([5, *[1 if gone else 5] * 2])
    watch = group._Watch.__new__(group._Watch)
    watch._launcher = 5
    watch._store = SimpleNamespace(check=lambda keys: False)  # type: ignore[assignment]
    ended = [True, False, False, False]
    watch._ended = SimpleNamespace(wait=lambda seconds: ended.pop())  # type: ignore[assignment]
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(os, "kill", lambda *call: done.append(call))
    watch._look()
    assert done == [(os.getpid(), signal.SIGTERM)] * gone


@pytest.mark.parametrize("rank", [0, 1])
def test_a_word_of_processes_that_were_restarted_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    """`torchrun` keeps the store; nobody may look before the main process has cleared it."""
    done: list[str] = []
    watch = group._Watch.__new__(group._Watch)
    watch._rank, watch._store = rank, SimpleNamespace(delete_key=done.append)  # type: ignore[assignment]
    watch._thread = SimpleNamespace(start=lambda: done.append("look"))  # type: ignore[assignment]
    monkeypatch.setattr(torch.distributed, "barrier", lambda: done.append("all are here"))
    watch.begin()
    assert done == [group.FAILED, "all are here", "look"][rank:]


def environment(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


def test_a_port_that_is_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment(monkeypatch, RANK=0, WORLD_SIZE=2, MASTER_ADDR="localhost", MASTER_PORT=port)
        line = rf"the 2 processes of this run can't meet at localhost:{port}, .* in use; choose"
        with pytest.raises(WorkbenchError, match=line), distributed.joined(print):
            pass


def test_a_signal_ends_a_process_that_waits_to_meet_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Waiting in the library, it would not hear Python's handlers."""
    signals, found = (signal.SIGINT, signal.SIGTERM), []

    def wait(*_: Any, **__: Any) -> None:
        found.extend(map(signal.getsignal, signals))
        raise ValueError("nobody came")

    monkeypatch.setattr(group, "rendezvous", wait)
    environment(monkeypatch, RANK=0, WORLD_SIZE=2)
    before = [*map(signal.getsignal, signals)]
    with pytest.raises(WorkbenchError, match=r"can't meet .*: nobody came"):
        group._meet()
    assert found == [signal.SIG_DFL] * 2
    assert [*map(signal.getsignal, signals)] == before


@pytest.mark.parametrize(("variables", "number"), [({}, 1), ({"RANK": 0, "WORLD_SIZE": 3}, 3)])
def test_started_together(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, object], number: int
) -> None:
    environment(monkeypatch, **variables)
    assert distributed.started_together() == number


def test_a_number_of_processes_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, RANK=0, WORLD_SIZE="many")
    with pytest.raises(WorkbenchError, match="WORLD_SIZE='many' is no number"):
        distributed.started_together()
