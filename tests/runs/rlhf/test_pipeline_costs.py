"""Costs that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.data.reviews.config import ReviewsConfig
from workbench.models.load import Model
from workbench.runs import learned_reward, pipeline_costs
from workbench.runs.rlhf.pipeline_costs import _row
from workbench.train.config import TrainConfig


def test_costs_are_those_of_the_settings(trained: Model) -> None:
    # 64 pairs, 10 prompts. One rollout of 32 completions is trained on twice, in 4 steps of 16.
    config = TrainConfig(
        world=ReviewsConfig(topics=2, pairs=64), epochs=2, batch_size=16, max_new_tokens=6,
        pairs_from="grammar",
    )  # fmt: skip
    table = pipeline_costs(config, ["DPO"], steps=4, base=trained).set_index("method")
    dpo = table.loc["DPO"]
    assert dpo["models"] == "policy"
    assert (dpo["written"], dpo["settings"]) == (0, 4)
    assert dpo["trained"] == pytest.approx(4)  # two sides, two epochs
    assert dpo["scored"] == pytest.approx(2)  # both sides by the reference, once

    learned = learned_reward(config, trained, epochs=1, held_out=0, batch_size=16)
    own = replace(config, method="ppo", eval_every=0, samples=0, held_out=0, rollout_size=32)
    ppo = _row(own, trained, learned, 4)
    assert ppo["models"] == "policy with value head, reference, reward model"
    # An epoch is one rollout: every one of the 10 prompts has its turn within 32 completions.
    assert ppo["written"] == pytest.approx(2 * 32 / 64)
    # Each completion by policy, reference and reward model.
    assert ppo["scored"] == pytest.approx(3 * 2 * 32 / 64)
    # Two passes over each rollout, and the reward model's pairs, two sides each, once.
    assert ppo["trained"] == pytest.approx(2 * 2 * 32 / 64 + 2)
    assert ppo["settings"] == 13
