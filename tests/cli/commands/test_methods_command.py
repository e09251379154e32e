"""The command `methods`: a comparison from flags to table, CSV and figure; the list of losses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.__main__ import main
from workbench.cli.terminal import console
from workbench.core.losses import LOSSES

ROOT = Path(__file__).parents[3]


@pytest.fixture
def flags(model_folder: Path, tmp_path: Path) -> list[str]:
    return [
        "methods", "--model", str(model_folder), "--pairs", "48", "--topics", "4", "--losses",
        "dpo", "simpo", "--seeds", "2", "--batch-size", "8", "--held-out", "12", "--samples", "4",
        "--max-new-tokens", "12", "--max-steps", "2", "--lr", "0.01", "--processes", "1",
        "--out", str(tmp_path / "out"),
    ]  # fmt: skip


def test_a_comparison_ends_in_a_table_a_csv_and_a_figure(
    flags: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console, "width", 120)
    assert main([*flags, "--seed", "3"]) == 0
    told = capsys.readouterr()
    assert "reward at equal kl" in told.out
    assert "not told apart" in told.out
    assert all(loss in told.out for loss in ("dpo", "simpo"))
    assert "methods.csv" in told.out
    assert told.err == ""
    frame = pd.read_csv(tmp_path / "out" / "methods.csv")
    assert sorted(frame["seed"].unique()) == [3, 4]
    # Two losses, three strengths, two seeds, two evaluations.
    assert len(frame) == 2 * 3 * 2 * 2
    assert (tmp_path / "out" / "methods.png").read_bytes().startswith(b"\x89PNG")

    # Once more from the rows on disk, as JSON, at a KL that nobody reaches and at equal reward.
    assert main([*flags, "--seed", "3", "--json", "--at-kl", "1e5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["along"], found["at"], found["measured"]) == ("kl", 1e5, "reward")
    assert [row["mean"] for row in found["methods"]] == [None, None]
    assert found["differences"] == []
    assert main([*flags, "--seed", "3", "--at-kl", "1e5"]) == 0
    assert capsys.readouterr().out.count("not reached") == 2
    assert main([*flags, "--seed", "3", "--json", "--at-quality", "-1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["along"], found["measured"]) == ("reward", "kl")
    assert [row["mean"] for row in found["methods"]] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--losses", "dpoo"], "loss='dpoo' is unknown; accepted: dpo"),
        (["--seeds", "1"], "seeds=1 is not accepted: a whole number from 2"),
        (["--beta", "0.5"], "beta=0.5 is not accepted: a comparison sets it itself"),
        (["--at-kl", "1", "--at-quality", "1"], "accepted: one of the two"),
        (["--at-kl", "-1"], "at_kl=-1.0 is not accepted"),
        (["--model", "no such model"], "model 'no such model' is unknown"),
    ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(
    flags: list[str],
    more: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*flags, *more]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_list_names_every_loss(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--list", "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {one["loss"]: one["parameters"] for one in found} == {
        name: loss.defaults for name, loss in LOSSES.items()
    }
    assert main(["methods", "--list"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in LOSSES)


def ends(group: int) -> bool:
    """Whether all processes of a group end within ten seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def with_a_run_on_disk(flags: list[str], runs: Path) -> subprocess.Popen[str]:
    """A comparison in two processes, in a group of its own, that has finished its first run."""
    # So many runs that some are left when the first is seen on disk, however busy the machine is.
    many = ["--processes", "2", "--max-steps", "40", "--seeds", "8"]
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", *flags, *many],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,  # a group of its own, as a terminal gives it
        # Where the tests run in the background of a shell, they were told to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    while not (runs.exists() and list(runs.glob("*.json"))):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for other processes")
def test_ctrl_c_ends_all_processes_and_keeps_what_is_finished(
    flags: list[str], tmp_path: Path
) -> None:
    runs = tmp_path / "out" / "runs"
    process = with_a_run_on_disk(flags, runs)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "stopped; finished runs are kept, the same command goes on with the others\n"
    assert ends(process.pid), "no process of the group is left"
    assert 1 <= len(list(runs.iterdir())) < 48
    assert not (tmp_path / "out" / "methods.csv").exists()


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes")
def test_processes_that_train_end_where_the_one_that_waits_is_killed(
    flags: list[str], tmp_path: Path
) -> None:
    process = with_a_run_on_disk(flags, tmp_path / "out" / "runs")
    process.kill()
    try:
        process.communicate(timeout=20)  # until all that hold its output have ended
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert ends(process.pid), "no process of the group is left"
