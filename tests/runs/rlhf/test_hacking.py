"""Learned and true reward: what the columns hold, and what the shipped worlds say."""

from __future__ import annotations

import pandas as pd
import pytest

from workbench.models.load import Model
from workbench.runs import recorded_rlhf, reward_hacking
from workbench.runs.rlhf import hacking


def test_every_method_has_its_learned_reward(
    trained: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hacking, "open_model", lambda config: trained)
    monkeypatch.setattr(hacking, "EPOCHS", 1)
    monkeypatch.setattr("workbench.runs.rlhf.frontier.TEXTS", 24)
    found = reward_hacking([3], steps=2)
    parts = dict(tuple(found.groupby("method")))
    assert set(parts) == {"PPO", "best-of-n", "DPO"}
    assert found["seed"].eq(3).all()
    assert parts["DPO"]["score"].tolist() == pytest.approx(
        (hacking.BETA * parts["DPO"]["kl"]).tolist()  # the implicit reward of its own texts
    )
    assert parts["DPO"]["step"].tolist() == parts["PPO"]["step"].tolist() == [0, 2]
    assert parts["best-of-n"]["score"].is_monotonic_increasing


def test_the_shipped_worlds_hold_what_the_lesson_says() -> None:
    found = recorded_rlhf("hacking")
    assert found.groupby("method")["seed"].nunique().eq(5).all()
    reward = found.pivot(index=["method", "seed"], columns="step", values="reward")
    fall = (reward.max(axis=1) - reward.ffill(axis=1).iloc[:, -1]).gt(0.1).groupby("method").sum()
    assert fall.to_dict() == {"DPO": 1, "PPO": 2, "best-of-n": 1}
    best = found[found["method"] == "best-of-n"].groupby("step")["score"].mean()
    assert isinstance(best, pd.Series)
    assert best.is_monotonic_increasing
