"""One process writes a run's folder, and within it one run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from workbench.errors import WorkbenchError
from workbench.runs.folder.kept_runs import delete_run, rename_run
from workbench.runs.folder.lock import LOCK, RunLock, refuse_held, writer_of, written_elsewhere
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.train.config import TrainConfig

HOLD = """
import sys
from pathlib import Path
from workbench.runs.folder.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path) -> Callable[[Path], subprocess.Popen[str]]:
    """Holds a folder in another process, until that is killed."""

    def hold(folder: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    return hold


@pytest.fixture
def begun(make_recorded: Callable[..., Run]) -> tuple[Run, Path]:
    """A run with two checkpoints, and its folder."""
    run = make_recorded(checkpoint_every=2)
    for _ in range(8):
        next(run)
    assert run.folder is not None
    return run, run.folder


def test_another_process_is_named_and_its_lock_dies_with_it(
    begun: tuple[Run, Path], held: Callable[[Path], subprocess.Popen[str]]
) -> None:
    run, folder = begun
    assert run.record is not None
    assert f"process {os.getpid()} on " in writer_of(folder)
    assert not written_elsewhere(folder)
    run.record.release()
    assert writer_of(folder) == ""
    with held(folder) as process:
        assert f"process {process.pid} on " in writer_of(folder)
        assert written_elsewhere(folder)
        for ask in (Run.resume, delete_run, lambda path: rename_run(path, "other"), refuse_held):
            with pytest.raises(WorkbenchError, match=f"by process {process.pid} on .* since 20"):
                ask(folder)
        process.kill()
    assert (folder / ".holder.json").exists()
    assert writer_of(folder) == ""
    assert (folder / "config.toml").exists()
    list(Run.resume(folder))
    refuse_held(folder)


def test_within_a_process_the_last_to_open_a_run_writes_it(
    begun: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = begun
    again = Run.resume(folder)
    with monkeypatch.context() as patched:
        patched.setattr("workbench.runs.folder.lock.FileLock", None)  # it is not tried
        assert f"process {os.getpid()} on " in writer_of(folder)
    with pytest.raises(WorkbenchError, match="opened again in this process"):
        next(run)
    list(again)
    lines = (folder / "events.jsonl").read_text().splitlines()
    steps = [line for line in lines if '"event": "step"' in line]
    assert len(steps) == again.total


def test_a_run_that_another_process_made_just_before_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Record.hold

    def hold_late(record: Record) -> None:
        (tmp_path / "config.toml").write_text("theirs")
        hold(record)

    monkeypatch.setattr(Record, "hold", hold_late)
    with pytest.raises(WorkbenchError, match="already holds a run"):
        Record.create(tmp_path, TrainConfig())
    assert (tmp_path / "config.toml").read_text() == "theirs"


def test_a_look_at_the_lock_keeps_nobody_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.runs.folder.lock.PATIENCE", 30)
    RunLock(tmp_path).release()
    looking = FileLock(tmp_path / LOCK, thread_local=False)
    looking.acquire()
    threading.Timer(0.05, looking.release).start()
    RunLock(tmp_path)


def test_a_folder_that_nobody_holds_any_more_is_free(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    assert (tmp_path / ".holder.json").exists()
    del lock
    assert not (tmp_path / ".holder.json").exists()
    code = HOLD.replace("sys.stdin.read()", "")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
