"""One process writes a run's folder, and within it one run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.runs.folder.kept_runs import delete_run, rename_run
from workbench.runs.folder.lock import RunLock, refuse_held
from workbench.runs.run import Run

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


def test_another_process_is_named_and_its_lock_dies_with_it(
    make_recorded: Callable[..., Run], held: Callable[[Path], subprocess.Popen[str]]
) -> None:
    run = make_recorded(checkpoint_every=2)
    for _ in range(8):
        next(run)
    folder = run.folder
    assert folder is not None
    assert run.record is not None
    run.record.release()
    with held(folder) as process:
        for ask in (Run.resume, delete_run, lambda path: rename_run(path, "other"), refuse_held):
            with pytest.raises(WorkbenchError, match=f"by process {process.pid} on .* since 20"):
                ask(folder)
        process.kill()
    assert (folder / "config.toml").exists()
    list(Run.resume(folder))
    refuse_held(folder)


def test_within_a_process_the_last_to_open_a_run_writes_it(
    make_recorded: Callable[..., Run],
) -> None:
    run = make_recorded(checkpoint_every=2)
    for _ in range(8):
        next(run)
    folder = run.folder
    assert folder is not None
    again = Run.resume(folder)
    with pytest.raises(WorkbenchError, match="opened again in this process"):
        next(run)
    list(again)
    lines = (folder / "events.jsonl").read_text().splitlines()
    steps = [line for line in lines if '"event": "step"' in line]
    assert len(steps) == again.total


def test_a_folder_that_nobody_holds_any_more_is_free(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    assert (tmp_path / ".holder.json").exists()
    del lock
    assert not (tmp_path / ".holder.json").exists()
    code = HOLD.replace("sys.stdin.read()", "")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
