"""What `--processes` says when its processes end, and how signals reach a run in a thread."""

from __future__ import annotations

import os
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher import api

from workbench.cli.command_settings import Train
from workbench.cli.commands.train_command import _shaping
from workbench.cli.interrupts import stop_on_interrupt
from workbench.cli.launch import TO_END, launch
from workbench.train.distributed.group import LAUNCHER


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the processes end with these codes, by number."""

    def end(error: BaseException | None = None, **codes: int) -> list[Any]:
        started: list[Any] = []

        def elastic_launch(config: Any, program: str) -> Any:
            def run(*arguments: str) -> None:
                started.append((config, *arguments))
                if error is not None:
                    raise error
                if codes:
                    failures = {
                        int(rank[1:]): SimpleNamespace(exitcode=code, timestamp=0, message="")
                        for rank, code in codes.items()
                    }
                    failed = ChildFailedError.__new__(ChildFailedError)
                    failed.failures = failures  # type: ignore[assignment]
                    raise failed

            return run

        monkeypatch.setattr(api, "elastic_launch", elastic_launch)
        monkeypatch.setattr("logging.disable", lambda level: None)
        for name in ("OMP_NUM_THREADS", LAUNCHER):
            monkeypatch.setenv(name, "1")  # what is set by `launch` is undone as well
        return started

    return end


def test_the_same_command_is_run_by_so_many_processes(ended: Any) -> None:
    started = ended()
    assert launch(["train", "--processes", "3"], 3) == 0
    assert os.environ[LAUNCHER] == str(os.getpid()), "so that they know whose end is theirs"
    [(config, *arguments)] = started
    assert config.nproc_per_node == 3
    assert arguments == ["-m", "workbench", "train", "--processes", "3"]


def test_a_signal_leaves_time_for_a_long_step_and_its_checkpoint(
    ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torchrun` itself kills them 30 seconds after it."""
    monkeypatch.delenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", raising=False)
    configs = ended()
    launch([], 2)
    assert configs.pop()[0].shutdown_timeout == TO_END


def test_what_the_main_process_said_is_not_said_again(
    ended: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(_0=2, _1=-15)
    assert launch([], 2) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("codes", "line"),
    [
        ({"_0": -9, "_1": 2}, "process 0 ended by signal 9; --resume"),
        ({"_1": -9}, "process 1 ended by signal 9; --resume"),
        ({"_0": 1}, "process 0 ended with code 1; --resume"),
    ],
)
def test_a_main_process_that_could_not_say_it_is_told(
    ended: Any, capsys: pytest.CaptureFixture[str], codes: dict[str, int], line: str
) -> None:
    ended(**codes)
    assert launch([], 2) == 2
    assert line in capsys.readouterr().err


def test_a_signal_gives_its_code(ended: Any) -> None:
    ended(SignalException("stopped", signal.SIGINT))
    assert launch([], 2) == 130


def test_a_run_in_a_thread_leaves_signals_alone() -> None:
    """As under Ray Train: only the main thread may set handlers."""
    before, done = signal.getsignal(signal.SIGINT), []

    def run() -> None:
        with stop_on_interrupt(lambda: None):
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [before]


def test_of_paths_processes_compare_whether_they_were_given() -> None:
    """One without --out waits for the main process to name a folder, which another never does."""
    one, other, less = (
        _shaping(Train(out=out, data=data))
        for out, data in (
            ("/here/run", "/here/a.jsonl"),
            ("/there/run", "/there/a.jsonl"),
            (None, "reviews"),
        )
    )
    assert one == other
    differing = {name for name in one if one[name] != less[name]}
    assert differing == {"whether --out is given", "whether --data is given"}
