"""The command `sweep`: table, JSON and page; interrupted, it goes on; mistakes are one line."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from workbench.__main__ import main
from workbench.runs.study.study_sweep import Sweep
from workbench.runs.study.trial_run import TrialRuns

FLAGS = (
    "--over beta=0.1,1 --batch-size 8 --max-steps 1 --eval-every 0 --held-out 8 --samples 2 "
    "--max-new-tokens 8 --kl-limit 50"
)  # fmt: skip


@pytest.fixture
def flags(model_folder: Path, tmp_path: Path) -> list[str]:
    return [*FLAGS.split(), "--model", str(model_folder), "--out", str(tmp_path / "sweep")]


def test_it_trains_tells_and_goes_on(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"

    def interrupt(sweep: Sweep) -> Sweep:
        os.kill(os.getpid(), signal.SIGINT)
        return sweep

    begun = Sweep.__iter__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sweep, "__iter__", lambda sweep: begun(interrupt(sweep)))
        assert main(["sweep", *flags]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert main(["sweep", *flags, "--html", str(page)]) == 0
    told = capsys.readouterr().out
    assert "2 finished, of 2 runs" in told
    assert f"take: {tmp_path / 'sweep' / '00'}" in told.replace("\n", "")
    assert "buildSweep" in page.read_text(encoding="utf-8")
    assert main(["sweep", *flags, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in found["runs"]] == ["finished", "finished"]
    assert found["take"] in [row["folder"] for row in found["runs"]]
    assert found["direction"] == "maximize"


def test_what_another_process_still_works_on_is_told(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sweep, "__iter__", lambda sweep: iter(()))
        assert main(["sweep", *flags]) == 0
    other = Sweep.open(tmp_path / "sweep").trials.take()
    assert other is not None
    capsys.readouterr()
    assert main(["sweep", *flags]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "1 still under way in another process" in told
    other.lock.release()


def test_without_ray_nothing_is_written(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["sweep", *flags, "--on", "ray"]) == 2
    assert "pip install 'dpo-workbench[scale]'" in capsys.readouterr().err
    assert not Path(flags[-1]).exists()


def test_the_exit_code_tells_where_every_run_failed(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(TrialRuns, "_train", fail)
    assert main(["sweep", *flags]) == 1
    assert "no memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--over", "bta=1"], "'bta' can't be swept"),
        (["--over", "lr=1..2", "--sampler", "tpe"], "lr=1.0 is not accepted"),
        (["--preset", "nope"], "preset='nope' is unknown"),
        (["--workers", "2"], "workers is for --on ray"),
        (["--metric", "samples/length"], "give direction, maximize or minimize"),
        (["--html", "/"], "html='/' is a folder"),
        (["--out", "/proc/sweep"], "can't be written"),
    ],
)
def test_a_mistake_is_one_line(
    flags: list[str], more: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *flags, *more]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not Path(flags[-1]).exists()
