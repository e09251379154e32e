"""Where losses fail: every run is a plain run, and every claim holds for each of several seeds."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch

from workbench.compare import failures
from workbench.compare.failures import (
    EVALUATIONS,
    TRAIN,
    WORLD,
    at_equal_kl,
    certain_preferences,
    flipped_labels,
    longer_chosen,
    near_identical_pairs,
    without_noise,
)
from workbench.core.losses import LOSSES, PairLogps
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.models.load import Model, model_hash
from workbench.runs.evaluate import Evaluator
from workbench.runs.prepare import Parts
from workbench.runs.run import Run
from workbench.train.config import TrainConfig

NUMBERS = {
    "step", "kl", "chosen", "rejected", "margin", "accuracy", "reward", "grammatical", "length",
    "train_margin",
}  # fmt: skip


def last(frames: Iterator[pd.DataFrame]) -> pd.DataFrame:
    *_, frame = frames
    return frame


def ends(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row per seed, a column per loss: the last evaluation."""
    return frame[frame.step == frame.step.max()].pivot(index="seed", columns="loss", values=column)


def along(frame: pd.DataFrame, column: str, loss: str) -> pd.DataFrame:
    """A row per seed, a column per evaluation."""
    return frame[frame.loss == loss].pivot(index="seed", columns="step", values=column)


# -- the runs -----------------------------------------------------------------------------------


def test_the_frame_grows_and_the_base_stays(trained: Model) -> None:
    before = model_hash(trained.policy)
    frames = list(longer_chosen(seeds=(0, 3), steps=4, base=trained))
    assert model_hash(trained.policy) == before
    assert [len(frame) for frame in frames] == [5 * runs for runs in range(1, 9)]
    frame = frames[-1]
    assert set(frame) == {"loss", "seed", *NUMBERS}
    assert list(frame["step"]) == [0, 1, 2, 3, 4] * 8
    assert list(frame["loss"].unique()) == ["dpo", "rdpo", "dpo_norm", "simpo"]
    measured = frame.drop(columns="train_margin")
    assert measured.notna().all(axis=None)  # also without a reference
    assert (measured[measured.step == 0].groupby("seed").nunique().drop(columns="loss") == 1).all(
        axis=None
    )


def test_the_last_step_is_measured_whatever_their_number(trained: Model) -> None:
    frame = next(near_identical_pairs(seeds=(0,), steps=7, base=trained))
    assert list(frame["step"]) == [0, 1, 3, 5, 7]


def test_a_run_is_the_plain_one(trained: Model) -> None:
    frame = next(near_identical_pairs(seeds=(3,), steps=4, base=trained))
    world = replace(WORLD, label_scale=8.0, similarity=1.0, world_seed=3)
    config = replace(TRAIN, loss="dpo", beta=0.1, seed=3, max_steps=4, world=world)
    run = Run.create(config, base=copy.deepcopy(trained))
    list(run)
    found, end = run.evaluate(), frame.iloc[-1]
    for column, name in {
        "chosen": "logratios/chosen", "rejected": "logratios/rejected", "kl": "kl/policy_reference",
        "reward": "samples/reward", "length": "samples/length", "accuracy": "rewards/accuracies",
    }.items():  # fmt: skip
        assert end[column] == pytest.approx(found[f"held_out/{name}"], rel=1e-4, abs=1e-5)


def test_where_nothing_is_flipped_all_three_are_dpo(trained: Model) -> None:
    frame = last(flipped_labels(seeds=(0,), steps=4, label_noise=0.0, base=trained))
    dpo, *others = (run.drop(columns="loss") for _, run in frame.groupby("loss", sort=False))
    for other in others:
        pd.testing.assert_frame_equal(
            dpo.reset_index(drop=True), other.reset_index(drop=True), rtol=1e-3, atol=1e-4
        )


def test_held_out_labels_are_those_before_the_flips(trained: Model) -> None:
    world = replace(WORLD, label_scale=math.inf, label_noise=0.3)
    config = without_noise(replace(TRAIN, world=world))
    truth, noisy = Reviews(config.world), Reviews(world)
    clean, flipped = truth.preferences(), noisy.preferences()
    assert [{p.chosen, p.rejected} for p in clean] == [{p.chosen, p.rejected} for p in flipped]
    gains = [truth.reward(pair.chosen) - truth.reward(pair.rejected) for pair in clean]
    assert min(gains) == 0.0  # never the worse one
    assert clean != flipped


def test_runs_train_on_flipped_labels_and_are_measured_on_the_truth(
    trained: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise: dict[int, float] = {}  # evaluator -> of the labels that it holds
    prepare, measure, run = failures._prepare, failures._measure, failures._run
    used: dict[str, set[float]] = {"measured": set(), "trained": set()}

    def note_prepared(config: TrainConfig, base: Model) -> Parts:
        parts = prepare(config, base)
        noise[id(parts.evaluator)] = config.world.label_noise
        kept.append(parts)
        return parts

    def note_measured(evaluator: Evaluator, *rest: Any) -> dict[str, float]:
        used["measured"].add(noise[id(evaluator)])
        return measure(evaluator, *rest)

    def note_run(parts: Parts, *rest: Any) -> Iterator[dict[str, float]]:
        used["trained"].add(noise[id(parts.evaluator)])
        return run(parts, *rest)

    kept: list[Parts] = []  # so that no two have one id
    monkeypatch.setattr(failures, "_prepare", note_prepared)
    monkeypatch.setattr(failures, "_measure", note_measured)
    monkeypatch.setattr(failures, "_run", note_run)
    last(flipped_labels(seeds=(0,), steps=4, label_noise=0.3, base=trained))
    assert used == {"measured": {0.0}, "trained": {0.3}}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": ()}, "seeds is empty"),
        ({"steps": EVALUATIONS - 1}, "steps=3 is not accepted: a whole number from 4"),
        ({"similarity": 2.0}, "similarity is 2.0: give a value from 0.0 to 1.0"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkbenchError, match=message):
        near_identical_pairs(**wrong)


def test_a_share_of_flips_that_a_loss_refuses_is_told_at_once() -> None:
    with pytest.raises(WorkbenchError, match=r"label_smoothing=0\.5 is not accepted"):
        flipped_labels(label_noise=0.5)


def test_runs_are_read_at_the_largest_kl_that_all_reach() -> None:
    """Seed 0: both reach 1, where a is at 5. Seed 1: b reaches 4 only; between 1 and 9, the square
    root of 4 is half way from 1 to 3, so a stands at (5 + 9) / 2 there."""
    rows = [("a", 0, (0, 1, 9), (0, 5, 9)), ("b", 0, (0, 1, 1), (0, 2, 8)),
            ("a", 1, (0, 1, 9), (0, 5, 9)), ("b", 1, (0, 4, 2), (0, 6, 7))]  # fmt: skip
    frame = pd.concat(
        pd.DataFrame({"loss": loss, "seed": seed, "step": range(3), "kl": kl, "margin": margin})
        for loss, seed, kl, margin in rows
    )
    found = at_equal_kl(frame.astype({"kl": float, "margin": float}))
    assert list(found["loss"]) == ["a", "b", "a", "b"]
    assert list(found["kl"]) == [1, 1, 4, 4]
    assert list(found["margin"]) == [5, 2, 7, 6]
    assert list(found["step"]) == [1, 1, 1.5, 1]


# -- what fails, for each of three seeds ----------------------------------------------------------


def test_near_identical_pairs_pull_the_chosen_down_and_dpop_holds_it() -> None:
    frame = last(near_identical_pairs(steps=24))
    chosen, margin = ends(frame, "chosen"), ends(frame, "margin")
    assert (chosen["dpo"] < -0.8).all()
    assert (chosen["dpop"] > 0.1).all()
    assert (margin > 0.5).all(axis=None)  # both learn the pairs
    # DPO has moved several times as far. Where both are equally far it is still behind.
    assert (ends(frame, "kl")["dpo"] > 3 * ends(frame, "kl")["dpop"]).all()
    equal = at_equal_kl(frame).pivot(index="seed", columns="loss", values="chosen")
    assert (equal["dpop"] - equal["dpo"] > 0.2).all()


def test_where_preferences_are_certain_dpo_runs_away_and_ipo_stops() -> None:
    frame = last(certain_preferences(steps=32, beta=0.5))
    dpo, ipo = (along(frame, "margin", loss) for loss in ("dpo", "ipo"))
    assert (dpo.diff(axis=1).iloc[:, 1:] > 0.15).all(axis=None)  # at every evaluation
    assert (ipo[32] - ipo[16] < 0.1).all()  # no longer, after twice the steps
    assert (dpo[32] - dpo[16] > 0.5).all()
    target = 1 / (2 * 0.5)
    trained_on = ends(frame, "train_margin")
    assert (ipo < target).all(axis=None)
    assert (trained_on["ipo"] < target).all()
    assert (trained_on["dpo"] > 2 * target).all()


def test_of_flipped_labels_cdpo_moves_least_and_robust_farthest() -> None:
    frame = last(flipped_labels(steps=20))
    distance, trained_on = ends(frame, "kl"), ends(frame, "train_margin")
    for numbers in (distance, trained_on):
        assert (numbers["cdpo"] < numbers["dpo"]).all()
        assert (numbers["dpo"] < numbers["robust"]).all()
    accuracy = ends(frame, "accuracy").mean()
    assert (accuracy > 0.55).all()  # the truth is learnt
    assert accuracy.max() - accuracy.min() < 0.1  # about as well by each


def test_robust_has_no_lower_bound_on_labels_that_are_drawn_once() -> None:
    """Margin 1000, beta 0.5, 30% flips: (0.7 * log(1 + e^-500) - 0.3 * log(1 + e^500)) / 0.4
    = -0.3 * 500 / 0.4 = -375, and twice as far at twice the margin."""
    margins, zero = torch.tensor([1000.0, 2000.0]), torch.zeros(2)
    logps = PairLogps(margins, zero, zero, zero)
    values = LOSSES["robust"](logps, beta=0.5, label_smoothing=0.3)
    assert values.tolist() == pytest.approx([-375.0, -750.0])
    assert (LOSSES["cdpo"](logps, beta=0.5, label_smoothing=0.3) > 0).all()


def test_where_the_chosen_is_longer_answers_grow_under_dpo_and_rdpo_holds_them() -> None:
    frame = last(longer_chosen(steps=16))
    length = ends(frame, "length")
    before = along(frame, "length", "dpo")[0]
    assert (length["dpo"] - before > 2.5).all()
    assert (length["dpo"] - length["rdpo"] > 1).all()
    assert (length["rdpo"] - before).mean() < (length["dpo"] - before).mean() / 2


# -- what the lesson says of five seeds -----------------------------------------------------------


def less_dpo(frame: pd.DataFrame, column: str, at: str = "equal KL") -> pd.DataFrame:
    """A row per seed, a column per loss: the number of the loss less that of DPO."""
    if at == "equal KL":
        by_seed = at_equal_kl(frame).pivot(index="seed", columns="loss", values=column)
    else:
        by_seed = ends(frame, column)
    return by_seed.sub(by_seed["dpo"], axis=0)


@pytest.mark.full
def test_near_identical_pairs_over_five_seeds() -> None:
    frame = last(near_identical_pairs(seeds=range(5)))
    assert (ends(frame, "chosen")["dpo"] < -3).all()
    assert (less_dpo(frame, "chosen")["dpop"] > 0.4).all()
    assert less_dpo(frame, "reward")["dpop"].mean() < -0.05  # and it costs reward
    apart = last(near_identical_pairs(seeds=range(5), similarity=0.0))
    assert (ends(apart, "chosen")["dpo"] < -1).all()  # less far, in as many steps
    assert (ends(frame, "chosen")["dpo"] < ends(apart, "chosen")["dpo"] - 1).all()


@pytest.mark.full
def test_certain_preferences_over_five_seeds() -> None:
    frame = last(certain_preferences(seeds=range(5)))
    margin = ends(frame, "margin")
    assert (margin["dpo"] > 3).all()
    assert (margin["ipo"] < 0.8).all()
    assert abs(less_dpo(frame, "reward")["ipo"].mean()) < 0.1  # equally far, equally good


@pytest.mark.full
def test_flipped_labels_over_five_seeds() -> None:
    frame = last(flipped_labels(seeds=range(5)))
    assert (less_dpo(frame, "reward", "equal steps")["robust"] > 0).all()
    assert (less_dpo(frame, "kl", "equal steps")["robust"] > 1).all()
    for column in ("reward", "accuracy"):  # equally far, equally good
        assert (less_dpo(frame, column).mean().abs() < 0.1).all()


@pytest.mark.full
def test_longer_chosen_over_five_seeds() -> None:
    frame = last(longer_chosen(seeds=range(5)))
    length = ends(frame, "length").mean()
    assert length["dpo"] > length["dpo_norm"] > length["simpo"] > length["rdpo"]
    equal = less_dpo(frame, "length")
    assert (equal["rdpo"] < -1.5).all()
    assert equal["simpo"].mean() < -0.5  # not for every seed
    assert abs(equal["dpo_norm"].mean()) < 1  # not told apart
    assert less_dpo(frame, "reward")["rdpo"].mean() > 0.03
