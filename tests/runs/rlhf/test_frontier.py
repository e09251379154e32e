"""The curves against exact numbers, runs that are measured alike, and what five seeds say."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.core import tabular
from workbench.data.reviews.config import ReviewsConfig
from workbench.models.load import Model
from workbench.runs import (
    RLHF_SETTINGS,
    RLHFSetting,
    best_of_n_curve,
    best_within,
    optimum_curve,
    recorded_rlhf,
    reference_texts,
)
from workbench.runs.rlhf.frontier import trace
from workbench.train.config import TrainConfig

SCORES = [[0.0, 1.0, 3.0, 1.0], [2.0, -1.0, 0.0, 0.5]]


def texts() -> pd.DataFrame:
    rows = [
        (f"prompt {prompt}", f"text {text}", score, -score)
        for prompt, scores in enumerate(SCORES)
        for text, score in enumerate(scores)
    ]
    return pd.DataFrame(rows, columns=["prompt", "text", "reward", "score"])


@pytest.mark.parametrize("beta", [0.05, 0.5, 2.0])
def test_the_optimum_is_that_of_the_table(beta: float) -> None:
    """Texts drawn once each are a table with a uniform reference."""
    reference = torch.full((2, 4), 0.25, dtype=torch.float64).log()
    rewards = torch.tensor(SCORES, dtype=torch.float64)
    policy = tabular.optimal_logps(reference, rewards, beta)
    (row,) = optimum_curve(texts(), [beta]).itertuples()
    assert row.kl == pytest.approx(tabular.kl(policy, reference).mean().item())
    assert row.reward == pytest.approx(tabular.expected(policy, rewards).mean().item())


def test_the_optimum_of_a_score_is_measured_by_the_reward() -> None:
    (row,) = optimum_curve(texts(), [1e-3], by="score").itertuples()
    assert row.reward == pytest.approx((0.0 - 1.0) / 2)  # the lowest reward of each prompt
    assert row.kl == pytest.approx(math.log(4))


def test_best_of_n_by_hand() -> None:
    one, two, four = best_of_n_curve(texts(), [1, 2, 4], by="reward").itertuples()
    assert one.reward == pytest.approx((5 / 4 + 1.5 / 4) / 2)
    assert two.reward == pytest.approx((1 + 3 + 2 + 0.5) / 4)  # of neighbours
    assert four.reward == pytest.approx((3 + 2) / 2)
    assert four.kl == pytest.approx(math.log(4) - 3 / 4)
    assert one.kl == 0


def test_the_best_within_a_bound() -> None:
    frame = pd.DataFrame(
        {
            "method": ["a"] * 4 + ["b"] * 2,
            "seed": [0, 0, 1, 1, 0, 1],
            "kl": [0.5, 3.0, 0.9, 0.2, 2.0, 2.0],
            "reward": [0.1, 9.0, 0.3, 0.2, 1.0, 1.0],
        }
    )
    found = best_within(frame, [1.0, 2.0]).set_index(["method", "within"])
    assert found.loc[("a", 1.0), "mean"] == pytest.approx(0.2)  # of 0.1 and 0.3
    assert ("b", 1.0) not in found.index
    assert found.loc[("b", 2.0), ["mean", "low", "high"]].tolist() == [1.0, 1.0, 1.0]
    alone = best_within(frame[frame.seed == 0], [1.0])
    assert math.isnan(alone["low"].iloc[0])


@pytest.mark.parametrize(
    "setting",
    [
        RLHFSetting("DPO", "beta", 0.1),
        RLHFSetting("GRPO", "beta", 0.1),
        RLHFSetting("SFT", "epochs", 1.0),
    ],
    ids=lambda setting: setting.method,
)
def test_every_method_is_measured_by_the_same_texts(setting: RLHFSetting, trained: Model) -> None:
    def longer(prompts: object, completions: list[str]) -> list[float]:
        return [float(len(text)) for text in completions]

    config = TrainConfig(
        **setting.changes, max_steps=2, eval_every=0, max_new_tokens=8, batch_size=16,
        world=ReviewsConfig(topics=2, pairs=64), held_out=2, pairs_from="grammar",
        **({"rollout_size": 16} if setting.method == "GRPO" else {}),
    )  # fmt: skip
    first, last = trace(config, trained, longer, setting)
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert last["kl"] > 0
    assert first["score"] > 0
    assert (first["step"], last["step"]) == (0, 2)
    assert not last["failed"]


def test_texts_of_the_reference_have_their_true_reward(trained: Model) -> None:
    config = TrainConfig(world=ReviewsConfig(topics=2), max_new_tokens=6)
    found = reference_texts(config, trained, each=3)
    assert (found.groupby("prompt").size() == 3).all()
    assert found["reward"].between(-1, 1).all()


def test_no_setting_is_there_twice() -> None:
    assert len(set(RLHF_SETTINGS)) == len(RLHF_SETTINGS) == 26


# -- what the shipped runs of five seeds say ---------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> pd.DataFrame:
    return recorded_rlhf()


def test_the_shipped_runs_are_complete(whole: pd.DataFrame) -> None:
    runs = whole.groupby(["method", "setting", "value", "seed"]).size()
    assert len(runs) == 26 * 5
    assert whole["kl"].notna().all()
    assert np.isclose(whole[whole.step == 0].kl, 0, atol=1e-6).all()
