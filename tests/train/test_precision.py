"""Device, number format and threads: what is measured to pay, and what a person asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from workbench.errors import WorkbenchError
from workbench.train import precision
from workbench.train.precision import (
    autocast,
    bf16_gain,
    peak_memory_bytes,
    pick_device,
    pick_precision,
    set_threads,
)


@pytest.fixture
def policy() -> nn.Module:
    """100 weights."""
    return nn.Linear(10, 10, bias=False)


@pytest.mark.parametrize(
    ("large", "gain", "expected"),
    [(100, 1.4, "bf16"), (101, 1.4, "float32"), (100, 1.3, "float32")],
    ids=["large and faster", "too small", "hardly faster"],
)
def test_bf16_is_taken_where_it_pays(
    policy: nn.Module, monkeypatch: pytest.MonkeyPatch, large: int, gain: float, expected: str
) -> None:
    monkeypatch.setattr(precision, "LARGE", large)
    monkeypatch.setattr(precision, "bf16_gain", lambda device: gain)
    assert pick_precision("auto", "cpu", policy) == expected
    assert pick_precision("float32", "cpu", policy) == "float32"
    assert pick_precision("bf16", "cpu", policy) == "bf16"


def test_the_gain_is_a_number_and_leaves_the_global_random_state() -> None:
    before = torch.get_rng_state()
    assert 0.01 < bf16_gain("cpu") < 100
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_first_device_that_is_there_is_taken(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device("auto") == expected
    assert pick_device("cpu") == "cpu"
    for name, there in (("cuda", cuda), ("mps", mps)):
        if there:
            assert pick_device(name) == name
        else:
            with pytest.raises(WorkbenchError, match=f"device='{name}' is not on this machine"):
                pick_device(name)


def test_autocast_is_on_for_bf16_alone() -> None:
    left = torch.ones(2, 2)
    with autocast("cpu", "bf16"):
        assert (left @ left).dtype == torch.bfloat16
    with autocast("cpu", "float32"):
        assert (left @ left).dtype == torch.float32


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_small_models_take_one_thread_and_large_ones_all(
    policy: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_all_threads", lambda: 2)
    set_threads(policy)
    assert torch.get_num_threads() == 1
    monkeypatch.setattr(precision, "LARGE", 100)
    set_threads(policy)
    assert torch.get_num_threads() == 2


def test_peak_memory_is_in_bytes() -> None:
    # A process with torch in it holds more than 50 MB, and less than a terabyte.
    assert 50e6 < peak_memory_bytes() < 1e12
