"""A sweep on a local Ray cluster of two workers."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.errors import WorkbenchError
from workbench.runs.study.on_ray import sweep_on_ray
from workbench.runs.study.study_sweep import Sweep
from workbench.train.config import TrainConfig

OVER = {"beta": [0.1, 1.0], "loss": ["dpo", "ipo"]}


@pytest.fixture
def config(small: dict[str, Any], model_folder: Path, tmp_path: Path) -> TrainConfig:
    changed = {"model": str(model_folder), "max_steps": 40, "checkpoint_every": 2}
    return TrainConfig(**{**small, **changed, "out": str(tmp_path / "ray")})


@pytest.fixture
def ray() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="needs the extra [scale]")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


def test_without_ray_one_line_names_the_extra(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkbenchError, match=r"pip install 'dpo-workbench\[scale\]'"):
        next(sweep_on_ray(Sweep(config, OVER)))


def kill_a_worker(folder: Path, killed: list[int]) -> None:
    """As soon as a run is on its way, kill who trains it."""
    while not killed:
        for holder in folder.glob("*/.holder.json"):
            with suppress(OSError, ValueError):  # it ends just now
                if len(list(holder.parent.glob("checkpoints/step-*"))) > 1:
                    os.kill(pid := json.loads(holder.read_text())["process"], signal.SIGKILL)
                    killed.append(pid)
                    return
        time.sleep(0.01)


@pytest.mark.full
@pytest.mark.filterwarnings("default")  # Ray's own
def test_two_workers_one_of_them_killed_lose_and_double_nothing(
    config: TrainConfig, ray: Any, tmp_path: Path
) -> None:
    alone = Sweep(replace(config, out=str(tmp_path / "alone")), OVER, seeds=2)
    list(alone)
    sweep, killed = Sweep(config, OVER, seeds=2), list[int]()
    killer = threading.Thread(target=kill_a_worker, args=(sweep.folder, killed), daemon=True)
    killer.start()
    *_, table = sweep_on_ray(sweep, workers=2)
    killer.join(timeout=1)
    assert killed
    assert killed != [os.getpid()]
    assert set(table["state"]) == {"finished"}
    apart = ["seconds", "folder"]
    pd.testing.assert_frame_equal(
        sweep.table().drop(columns=apart), alone.table().drop(columns=apart)
    )
