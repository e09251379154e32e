"""Sweeps: every combination, and each run the one that it would be alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.core.tabular import TabularWorld
from workbench.errors import WorkbenchError
from workbench.models.load import Model, model_hash
from workbench.runs.run import Run
from workbench.runs.sweep import sweep
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent

WORLD = TabularWorld.example()


# -- runs ---------------------------------------------------------------------------------------


def test_every_combination_is_trained_and_told_run_by_run(
    small: dict[str, Any], trained: Model
) -> None:
    config = TrainConfig(**{**small, "max_steps": 2, "eval_every": 0})
    told: list[tuple[str, float]] = []
    frames = list(
        sweep(
            config,
            {"beta": [0.1, 1.0], "seed": [0, 3]},
            trained,
            lambda *what: told.append(what),
        )
    )
    # Two evaluations a run, before the first step and after the last; four runs.
    assert [len(frame) for frame in frames] == [2, 4, 6, 8]
    assert list(frames[-1].columns[:3]) == ["beta", "seed", "step"]
    runs = frames[-1][["beta", "seed"]].drop_duplicates()
    # Runs of one seed share their pairs, so they come together.
    assert list(runs.itertuples(index=False, name=None)) == [(0.1, 0), (1.0, 0), (0.1, 3), (1.0, 3)]
    # Two steps per run: an eighth of all is done after the first one.
    assert [what for what in told if what[0].startswith("run 1")] == [
        ("run 1 of 4", 0.125), ("run 1 of 4", 0.25),
    ]  # fmt: skip
    assert told[-1] == ("run 4 of 4", 1.0)


def test_each_run_is_what_it_would_be_alone(
    small: dict[str, Any], trained: Model, make_run: Callable[..., Run]
) -> None:
    grid = {"beta": [0.1, 1.0], "lr": [1e-3, 2e-3]}
    *_, frame = sweep(TrainConfig(**{**small, "max_steps": 4}), grid, trained)
    for (beta, lr), rows in frame.groupby(["beta", "lr"]):
        run = make_run(beta=beta, lr=lr, max_steps=4)
        alone = [event for event in run if isinstance(event, EvalEvent)]
        assert list(rows["step"]) == [event.step for event in alone] == [0, 4]
        for event, (_, row) in zip(alone, rows.iterrows(), strict=True):
            for name, value in event.metrics.items():
                assert row[name.removeprefix("held_out/")] == value


def test_the_base_stays_as_it_is(small: dict[str, Any], trained: Model) -> None:
    before = model_hash(trained.policy)
    list(sweep(TrainConfig(**{**small, "max_steps": 1}), {"beta": [0.5]}, trained))
    assert model_hash(trained.policy) == before


def test_reward_of_texts_that_do_not_parse_counts_nothing(
    small: dict[str, Any], trained: Model
) -> None:
    config = TrainConfig(**{**small, "max_steps": 1, "samples": 12})
    *_, frame = sweep(config, {"beta": [0.5]}, trained)
    run = Run.create(config, base=copy.deepcopy(trained))
    next(run)
    samples = run.sample([pair.prompt for pair in run.data.prompts(12)])
    assert run.data.scores is not None
    scored = [run.data.scores(sample.prompt, sample.reference) for sample in samples]
    wanted = sum(s["reward"] for s in scored if s["grammatical"]) / 12
    assert frame["samples/parsed_reward"][0] == pytest.approx(wanted)


def test_knobs_of_the_world_can_be_swept(small: dict[str, Any], trained: Model) -> None:
    config = TrainConfig(**{**small, "max_steps": 1})
    *_, frame = sweep(config, {"label_noise": [0.0, 0.5]}, trained)
    assert list(frame["label_noise"]) == [0.0, 0.0, 0.5, 0.5]


def test_with_a_folder_each_run_is_written(
    small: dict[str, Any], model_folder: Path, tmp_path: Path
) -> None:
    config = TrainConfig(
        **{**small, "max_steps": 1, "model": str(model_folder), "out": str(tmp_path / "runs")}
    )
    list(sweep(config, {"beta": [0.1, 1.0]}))
    for beta in (0.1, 1.0):
        folder = tmp_path / "runs" / f"beta={beta}"
        assert (folder / "summary.json").exists()
        assert f"beta = {beta}" in (folder / "config.toml").read_text(encoding="utf-8")
    with pytest.raises(WorkbenchError, match=r"beta=0\.1"):
        sweep(config, {"beta": [0.1]})
    with pytest.raises(WorkbenchError, match="would share a folder"):
        sweep(config, {"data": ["a/b.jsonl", "a-b.jsonl"]})


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"x": [1]}, "'x' can't be swept; accepted: .*beta.*label_noise"),
        ({"betas": [1]}, "'betas' can't be swept; near it: beta$"),
        ({"out": ["x"]}, "'out' can't be swept"),
        ({"beta": []}, r"grid\['beta'\]=\[\] is not accepted: a list of values"),
        ({"loss": "dpo"}, r"grid\['loss'\]='dpo' is not accepted: a list of values"),
        ({"beta": 0.1}, r"grid\['beta'\]=0.1 is not accepted: a list of values"),
        ({"beta": [0.1, 0.1]}, "holds a value twice"),
        ({"beta": [0.1, -1.0]}, "beta=-1.0 is not accepted"),
        ({"label_noise": [0.7]}, "label_noise is 0.7"),
        ({"model": ["tiny"]}, "model is swept and base is given"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    grid: dict[str, Any], told: str, trained: Model
) -> None:
    with pytest.raises(WorkbenchError, match=told):
        sweep(TrainConfig(), grid, trained)
