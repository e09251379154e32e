"""A very small base model and runs made of it, in some tenths of a second each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.data.worlds import Reviews, ReviewsConfig
from workbench.models.load import Model, save_model
from workbench.train.base import BaseConfig, new_model, pretrain
from workbench.train.config import TrainConfig
from workbench.train.events import Event
from workbench.train.run import Run

WORLD = ReviewsConfig(pairs=48, topics=4)
SHAPE = BaseConfig(dim=32, layers=1, hidden_dim=48, steps=20, texts=640)
# 36 pairs to train on make 5 steps an epoch, the last one smaller.
SMALL: dict[str, Any] = {
    "world": WORLD, "pairs_from": "grammar", "batch_size": 8, "epochs": 2, "held_out": 12,
    "samples": 4, "eval_every": 4, "max_new_tokens": 12, "lr": 1e-3, "warmup": 2, "max_length": 64,
}  # fmt: skip


@pytest.fixture(scope="session")
def trained() -> Model:
    """Pretrained for 20 steps; not to be changed."""
    world = Reviews(WORLD)
    model = new_model(world, SHAPE)
    for _ in pretrain(model, world, SHAPE):
        pass
    return model


@pytest.fixture
def base(trained: Model) -> Model:
    """A copy to train."""
    return copy.deepcopy(trained)


@pytest.fixture(scope="session")
def model_folder(trained: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model on disk, for runs that are to be resumed."""
    folder = tmp_path_factory.mktemp("model") / "small"
    save_model(trained, folder)
    return folder


@pytest.fixture
def small() -> dict[str, Any]:
    """Settings of a run that takes 10 steps."""
    return dict(SMALL)


@pytest.fixture
def make_run(trained: Model) -> Callable[..., Run]:
    """Makes a run of a copy of the base, with the given settings changed."""

    def make(**settings: Any) -> Run:
        return Run.create(TrainConfig(**{**SMALL, **settings}), base=copy.deepcopy(trained))

    return make


@pytest.fixture
def make_recorded(model_folder: Path, tmp_path: Path) -> Callable[..., Run]:
    """Makes a run that is written to a folder of this test, `name`."""

    def make(name: str = "run", **settings: Any) -> Run:
        changed = {"model": str(model_folder), "out": str(tmp_path / name), **settings}
        return Run.create(TrainConfig(**{**SMALL, **changed}))

    return make


@pytest.fixture(scope="session")
def to_step() -> Callable[[Run, int], list[Event]]:
    """Iterates a run up to and with everything that is said at this step."""

    def iterate(run: Run, step: int) -> list[Event]:
        said = []
        while run.step < step:
            said.append(next(run))
        return said

    return iterate
