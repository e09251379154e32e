"""Every way to be faster can be switched off by one field, and gives the same run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from workbench.train.events import StepEvent
from workbench.train.run import Run

OFF: dict[str, dict[str, Any]] = {
    "packing": {"layout": "shared_prefix"},
    "packing and the shared prefix": {"layout": "stacked"},
    "tiles, scored positions only, other kernels": {"kernels": "plain"},
    "the cached reference": {"reference": "live"},
    "kept activations": {"recompute": True},
    "whole passes": {"max_tokens": 40},
    "all at once": {"kernels": "plain", "layout": "stacked", "reference": "live"},
}


def trajectory(run: Run) -> torch.Tensor:
    """(step, 3): loss, margin and gradient norm."""
    names = ("loss", "rewards/margins", "grad_norm")
    return torch.tensor(
        [[event.metrics[name] for name in names] for event in run if isinstance(event, StepEvent)]
    )


@pytest.mark.parametrize("settings", OFF.values(), ids=OFF)
def test_switched_off_a_run_is_the_same(
    make_run: Callable[..., Run], settings: dict[str, Any]
) -> None:
    found = trajectory(make_run(**settings))
    torch.testing.assert_close(found, trajectory(make_run()), atol=2e-5, rtol=1e-4)


def test_without_buckets_all_pairs_come_all_the_same(make_run: Callable[..., Run]) -> None:
    runs = [make_run(bucket=bucket) for bucket in (True, False)]
    seen = [
        sorted(
            place
            for step in range(len(run._batches))
            for batch in run._batches.at(step)
            for place in batch.index.tolist()  # type: ignore[attr-defined]
        )
        for run in runs
    ]
    assert seen[0] == seen[1] == list(range(len(runs[0].data.train)))


def test_half_precision_stays_close(make_run: Callable[..., Run]) -> None:
    exact, half = (trajectory(make_run(precision=name)) for name in ("float32", "bf16"))
    # bf16 has 8 bits: log-probabilities of some -50 are off by some hundredths.
    torch.testing.assert_close(half[:, 0], exact[:, 0], atol=0.02, rtol=0)
