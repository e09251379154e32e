"""Every way to be faster can be switched off by one field, and gives the same run."""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

import pytest
import torch

from workbench.core.transformer import Block
from workbench.runs.run import Run
from workbench.train.events import StepEvent

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
    def spread(run: Run) -> int:
        """How far apart the lengths within a batch are, over an epoch."""
        batches = [run._batches.at(step)[0] for step in range(len(run._batches))]
        rows = [batch.lengths().view(-1, 2).sum(-1) for batch in batches]
        return sum(int(lengths.max() - lengths.min()) for lengths in rows)

    runs = [make_run(bucket=bucket) for bucket in (True, False)]
    assert spread(runs[0]) < spread(runs[1])
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


FAST = tuple(
    f"workbench.core.fast.{name}"
    for name in (
        "packed_attention.attend_packed",
        "scored_logps._TokenLogps.apply",
        "vocabulary_sums._kl_and_logps",
        "block_kernels._RMSNorm.apply",
        "block_kernels._SwiGLU.apply",
        "block_kernels._written_out",
        "decode_step.DecodeStep",
    )
)


@pytest.mark.parametrize("name", FAST)
def test_plain_kernels_are_the_definitions_and_nothing_else(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    used: list[str] = []
    original = resolve_name(name)

    def noted(*given: Any) -> Any:
        used.append(name)
        return original(*given)

    monkeypatch.setattr(name, noted)
    list(make_run(kernels="plain", max_steps=2))
    assert not used
    list(make_run(max_steps=2))
    assert used


@pytest.mark.parametrize("on", [True, False])
def test_only_recompute_computes_blocks_again(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, on: bool
) -> None:
    seen = []
    forward = Block.forward
    monkeypatch.setattr(
        Block, "forward", lambda *given: (seen.append(torch.is_grad_enabled()), forward(*given))[1]
    )
    run = make_run(recompute=on, max_steps=3, samples=0)
    seen.clear()  # of the self-test
    list(run)
    assert sum(seen) == (2 if on else 1) * 3  # one layer, three steps


def test_plain_policy_and_reference_are_rounded_alike(make_run: Callable[..., Run]) -> None:
    for settings in ({"kernels": "plain"}, {}):
        found = make_run(precision="bf16", **settings).held_out_frame()
        assert not found["logratios/chosen"].any()


def test_half_precision_stays_close(make_run: Callable[..., Run]) -> None:
    exact, half = (trajectory(make_run(precision=name)) for name in ("float32", "bf16"))
    # bf16 has 8 bits: log-probabilities of some -50 are off by some hundredths.
    torch.testing.assert_close(half[:, 0], exact[:, 0], atol=0.02, rtol=0)
