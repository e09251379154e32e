"""The benchmark of a GPU where there is none: its line, its switches, its clock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import nn

from benchmarks import gpu, gpu_contender
from benchmarks.side_by_side import ROOT
from workbench.core.fast.fast_kernels import FAST
from workbench.core.fast.gpu import gpu_kernels
from workbench.core.fast.gpu.gpu_kernels import PATHS
from workbench.runs import prepare


@pytest.fixture
def switched() -> Iterator[None]:
    yield
    patch.stopall()


def test_without_a_gpu_one_line_says_that_nothing_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    gpu.main()
    assert (
        capsys.readouterr().out
        == "gpu: nothing was measured, because this machine has no CUDA device\n"
    )


@pytest.mark.usefixtures("switched")
def test_each_path_is_switched_off_in_the_run_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_kernels, "COMPILED_FROM", 1)
    monkeypatch.setattr(gpu_kernels, "has_triton", lambda: True)
    gpu_contender.switch_off(["logps", "fused"])
    kernels = prepare.kernels_for("fast", nn.Linear(2, 2), "cuda", ())
    assert kernels.scored_logps is FAST.scored_logps
    assert kernels.attention is PATHS["flex"].fields["attention"]
    optimizer = torch.optim.AdamW(nn.Linear(2, 2).parameters(), lr=0.1, fused=True)
    assert not optimizer.defaults["fused"]


def test_every_path_has_its_turn() -> None:
    training = {one.name for one in gpu.switched_off("folder", 2)}
    for name in (*PATHS, *gpu_contender.ALWAYS):
        decoding = {one.name for one in gpu.decoding("folder")}
        assert f"without {name}" in training | decoding


def test_nothing_begins_that_would_not_end_in_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "measure", lambda *_: pytest.fail("it began"))
    assert gpu.Clock(minutes=0).run("a title", [], 1, 1, 1) is None
    assert "a title: left out, for want of time" in capsys.readouterr().out


def test_the_shapes_have_as_many_weights_as_the_models() -> None:
    counts = {
        name: sum(weight.numel() for weight in gpu.Transformer(shape, None).parameters())
        for name, shape in gpu.SHAPES.items()
    }
    assert counts["SmolLM2"] == 134_515_008
    assert 1.5e9 < counts["1.5B"] < 1.6e9


@pytest.mark.full
def test_all_of_it_on_tiny_models(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny"]
    command += ["--rounds", "1", "--minutes", "60", "--results", str(tmp_path)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "not measured" not in found.stdout
    assert found.stdout.count("| workbench |") == 4
    assert "Paths in use here: none" in found.stdout
