"""Losses of every kind on the real model, on the shipped pairs: a few steps that learn."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.models.smollm2 import fetch_smollm2
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent

pytestmark = pytest.mark.full


@pytest.mark.parametrize("loss", ["dpo", "kto", "simpo", "orpo"])
def test_the_real_model_learns(
    loss: str, real_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(real_cache))
    try:
        fetch_smollm2()
    except WorkbenchError as error:
        pytest.skip(str(error))
    config = TrainConfig(
        model="smollm2", data="assistant", loss=loss, lr=1e-5, max_steps=8, held_out=20,
        samples=0, eval_every=0,
    )  # fmt: skip
    run = Run.create(config)
    first, last = [event.metrics for event in run if isinstance(event, EvalEvent)]
    assert last["held_out/loss"] < first["held_out/loss"]
    assert last["held_out/rewards/margins"] > first["held_out/rewards/margins"]
