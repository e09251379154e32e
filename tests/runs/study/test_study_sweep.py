"""A sweep on disk: killed, shared, gone on with; nothing lost, nothing done twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.models.load import Model
from workbench.runs.study.study_sweep import Sweep
from workbench.train.config import TrainConfig

OVER = {"beta": [0.1, 1.0], "loss": ["dpo", "ipo"]}


@pytest.fixture
def config(small: dict[str, Any], tmp_path: Path) -> TrainConfig:
    return TrainConfig(**{**small, "max_steps": 4, "out": str(tmp_path / "sweep")})


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """The same runs with the same numbers; time and place may differ."""
    apart = ["seconds", "folder"]
    pd.testing.assert_frame_equal(left.drop(columns=apart), right.drop(columns=apart))


def test_every_combination_with_every_seed_is_an_ordinary_run(
    config: TrainConfig, trained: Model
) -> None:
    sweep = Sweep(config, OVER, trained, seeds=2)
    lengths = [len(table) for table in sweep]
    assert lengths == list(range(1, 9))
    table = sweep.table()
    assert set(table["state"]) == {"finished"}
    assert table[["beta", "loss", "seed"]].drop_duplicates().shape == (8, 3)
    assert all((Path(folder) / "summary.json").exists() for folder in table["folder"])
    assert list(Sweep(config, OVER, trained, seeds=2)) == []


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_stopped_at_any_step_it_goes_on_and_ends_as_if_it_had_not_been(
    config: TrainConfig, trained: Model, tmp_path: Path, sampler: str
) -> None:
    study: dict[str, Any] = {"sampler": sampler, "seeds": 2, "prune": "median"}
    over = {"beta": [0.1, 1.0]}
    if sampler != "grid":
        study["trials"] = 2
    whole = Sweep(config, over, trained, **study)
    list(whole)
    config = replace(config, out=str(tmp_path / "again"), checkpoint_every=1)

    for step in (1, 3, 6, 10):  # of all runs together

        def killed(text: str, share: float, limit: float = step / 16) -> None:
            if text.startswith("run ") and share >= limit:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(Sweep(config, over, trained, killed, **study))
    again = Sweep(config, over, trained, **study)
    list(again)
    same(again.table(), whole.table())
