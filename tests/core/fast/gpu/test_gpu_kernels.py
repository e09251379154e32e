"""One table chooses what a GPU computes by, and one setting switches all of it off."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from workbench.core.fast.fast_kernels import FAST
from workbench.core.fast.gpu import gpu_kernels
from workbench.core.fast.gpu.gpu_kernels import PATHS, kernels_for
from workbench.core.policy import PLAIN


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    monkeypatch.setattr(gpu_kernels, "COMPILED_FROM", 6)
    monkeypatch.setattr(gpu_kernels, "has_triton", lambda: True)
    return nn.Linear(2, 2)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_other_devices_keep_what_they_had(large: nn.Module, device: str) -> None:
    assert kernels_for("fast", large, device) is FAST
    assert kernels_for("unmeasured", large, device) is FAST
    assert kernels_for("plain", large, device) is PLAIN


def test_a_gpu_has_every_path_of_the_table(large: nn.Module) -> None:
    kernels = kernels_for("unmeasured", large, "cuda")
    for path in PATHS.values():
        assert path.measured
        for name, value in path.fields.items():
            assert getattr(kernels, name) is value
            assert getattr(FAST, name) is not value
    assert not kernels.plain
    assert kernels_for("unmeasured", large, "cuda") is kernels


def test_only_what_was_measured_is_taken_unasked(
    large: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(path.measured == gpu_kernels.NOT_MEASURED for path in PATHS.values())
    assert kernels_for("fast", large, "cuda") is FAST
    logps = replace(PATHS["logps"], measured="1.2 times as fast on some GPU")
    monkeypatch.setattr(gpu_kernels, "PATHS", {**PATHS, "logps": logps})
    kernels = kernels_for("fast", large, "cuda")
    assert kernels.scored_logps is logps.fields["scored_logps"]
    assert kernels.attention is FAST.attention


def test_one_setting_switches_all_of_it_off(large: nn.Module) -> None:
    assert kernels_for("plain", large, "cuda") is PLAIN


@pytest.mark.parametrize("name", list(PATHS))
def test_each_can_be_left_out(large: nn.Module, name: str) -> None:
    kernels = kernels_for("unmeasured", large, "cuda", {name})
    off = {name} | {other for other, path in PATHS.items() if path.needs == name}
    for other, path in PATHS.items():
        for field, value in path.fields.items():
            wanted = getattr(FAST, field) if other in off else value
            assert getattr(kernels, field) is wanted


@pytest.mark.parametrize(("weights", "compiler"), [(7, True), (6, False)])
def test_nothing_is_compiled_for_small_models_or_without_a_compiler(
    large: nn.Module, weights: int, compiler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_kernels, "COMPILED_FROM", weights)
    monkeypatch.setattr(gpu_kernels, "has_triton", lambda: compiler)
    kernels = kernels_for("unmeasured", large, "cuda")
    assert kernels.decode_step is PATHS["decoding"].fields["decode_step"]
    assert kernels.attention is FAST.attention
    assert kernels.block is FAST.block
    assert kernels.scored_logps is FAST.scored_logps
