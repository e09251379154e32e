"""Training on the pairs of a constitution moves a policy to the principle, in every seed."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.feedback.constitution.chats import GrammarWriter
from workbench.feedback.constitution.critics import RuleCritic
from workbench.feedback.constitution.feedback_pairs import feedback
from workbench.feedback.constitution.labelling import label
from workbench.feedback.constitution.principles import PRINCIPLES
from workbench.feedback.constitution.review_rules import RULES
from workbench.feedback.constitution.revising import revise
from workbench.feedback.constitution.training import train_on_feedback
from workbench.models.load import Model
from workbench.train.base_model import BaseConfig, new_model, pretrain
from workbench.train.config import TrainConfig

WORLD = Reviews(ReviewsConfig(topics=4))


@pytest.fixture(scope="module")
def base() -> Model:
    """A small model that writes reviews which usually parse."""
    config = BaseConfig(dim=48, layers=2, hidden_dim=96, steps=150, texts=4000)
    model = new_model(WORLD, config)
    for _ in pretrain(model, WORLD, config):
        pass
    return model


@pytest.mark.parametrize("way", [revise, label])
def test_kind_pairs_raise_the_true_reward_in_every_seed(base, way):
    """The claim of lesson 09, with a smaller model and three seeds."""
    kind = PRINCIPLES[0]
    scores = {
        "reward": lambda prompt, text: WORLD.reward(text),
        "kept": lambda prompt, text: float(not RULES["kind"].find(text)),
    }
    for seed in range(3):
        given = way([*WORLD.prompts] * 8, [kind], GrammarWriter(WORLD), RuleCritic(), seed)
        config = TrainConfig(beta=0.3, lr=1e-3, epochs=2, seed=seed, batch_size=16,
                             max_new_tokens=24)  # fmt: skip
        found = train_on_feedback(
            feedback(given).pairs, config, [*WORLD.prompts] * 4, scores,
            replace(base, policy=copy.deepcopy(base.policy)),
        ).set_index("metric")  # fmt: skip
        assert found.after["reward"] > found.before["reward"] + 0.1
        assert found.after["kept"] > found.before["kept"] + 0.05
