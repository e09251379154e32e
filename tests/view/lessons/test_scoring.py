"""The explorers of a typed pair: what a person does, and what is then to be read."""

from __future__ import annotations

import re

import pytest
import torch

from workbench.compare.mistakes import MISTAKES
from workbench.compare.pair_scoring import score_pair
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.data.tokenizer import Tokenizer
from workbench.models.load import Model
from workbench.train.base_model import BaseConfig, new_model
from workbench.view.controls.explorer import Explorer
from workbench.view.lessons.scoring import (
    draw_scoring,
    explore_scoring,
    explore_tokens,
    without_template,
)

PAIR = ("how was the film?", "the plot was good.", "overall, i hated the music.")


@pytest.fixture(scope="module")
def reference() -> Model:
    return new_model(Reviews(ReviewsConfig(topics=4)), BaseConfig())


@pytest.fixture(scope="module")
def policy() -> Model:
    model = new_model(Reviews(ReviewsConfig(topics=4)), BaseConfig())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.policy.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return model


@pytest.fixture
def explorer(policy: Model, reference: Model) -> Explorer:
    return explore_scoring(policy, reference, *PAIR, beta=0.5)


def plain(html: object) -> str:
    return " ".join(re.sub("<[^>]*>", " ", str(html)).split())


def test_it_begins_as_it_should_be(explorer: Explorer, policy: Model, reference: Model) -> None:
    right = score_pair(policy.policy, reference.policy, policy.tokenizer, *PAIR, beta=0.5)
    text = plain(explorer.shown)
    assert f"loss {right.loss:.4f}" in text
    assert "with the mistakes" not in text
    assert "tokens scored 6 and 8" in text
    assert [name for name in MISTAKES if explorer.values[name]] == []


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_has_a_switch(
    explorer: Explorer, policy: Model, reference: Model, name: str
) -> None:
    explorer.set(**{name: True})
    models = policy.policy, reference.policy, policy.tokenizer
    right = score_pair(*models, *PAIR, beta=0.5)
    wrong = score_pair(*models, *PAIR, [name], beta=0.5)
    text = plain(explorer.shown)
    assert f"loss {right.loss:.4f} {wrong.loss:.4f}" in text
    assert MISTAKES[name].label in text
    assert ("Nothing changes" in text) == wrong.rows.same_as(right.rows)
    explorer.set(**{name: False})
    assert "with the mistakes" not in plain(explorer.shown)


def test_mistakes_combine_and_are_told_one_by_one(policy: Model, reference: Model) -> None:
    made = ["prompt_scored", "mean_for_sum"]
    text = plain(explore_scoring(policy, reference, *PAIR, mistakes=made).shown)
    assert "prompt scored : The prompt" in text
    assert "mean for sum : Log-prob" in text
    assert "cosine" in text


def test_one_scoring_is_drawn_alone_or_beside_the_right_one(
    policy: Model, reference: Model
) -> None:
    models = policy.policy, reference.policy, policy.tokenizer
    right = score_pair(*models, *PAIR)
    wrong = score_pair(*models, *PAIR, ["padding_scored"])
    assert "with the mistakes" not in plain(draw_scoring(right, policy.tokenizer))
    text = plain(draw_scoring(wrong, policy.tokenizer, right, below="pull"))
    assert f"loss {right.loss:.4f} {wrong.loss:.4f}" in text
    assert text.count("under each token: pull") == 2


def test_typing_beta_and_padding_change_what_is_shown(explorer: Explorer) -> None:
    explorer.set(chosen="the plot was superb.")
    assert "superb" in plain(explorer.shown)
    before = plain(explorer.shown)
    explorer.set(beta=2.0)
    assert plain(explorer.shown) != before
    before = re.findall(r"loss (\S+)", plain(explorer.shown))
    explorer.set(width=18)
    text = plain(explorer.shown)
    assert "padding, 0 of 5 scored" in text  # behind 5 + 8 tokens
    assert re.findall(r"loss (\S+)", text) == before


@pytest.mark.parametrize("below", ["log-ratio", "log-probability", "pull"])
def test_numbers_under_the_tokens_can_be_chosen(explorer: Explorer, below: str) -> None:
    explorer.set(below=below)
    assert plain(explorer.shown).count(f"under each token: {below}") == 2
    explorer.set(below="nothing")
    assert "under each token" not in plain(explorer.shown)


def test_what_can_not_be_scored_is_told_in_a_card(explorer: Explorer) -> None:
    explorer.set(prompt="")
    assert "the prompt has no tokens" in plain(explorer.shown)
    explorer.set(prompt="how " * 200)
    assert "the texts make 208 tokens per row; at most 160 are shown" in plain(explorer.shown)
    explorer.set(prompt="how was the film?")
    assert "loss" in plain(explorer.shown)


def test_what_is_typed_stays_text(explorer: Explorer) -> None:
    explorer.set(prompt="<img onerror=x> \u202e", chosen="</script>", rejected="<script>")
    assert "<img" not in str(explorer.shown)
    assert "script>" not in str(explorer.shown).replace("script</bdi>", "")


def test_weights_are_left_alone(explorer: Explorer, policy: Model) -> None:
    explorer.set(prompt_scored=True)
    assert all(weight.grad is None for weight in policy.policy.parameters())


def test_tokens_alone_need_no_model() -> None:
    tokenizer = Tokenizer.from_words(["how", "film", "good", "bad"])
    explorer = explore_tokens(tokenizer, "how film", "good", "bad")
    assert "mean_for_sum" not in explorer.values
    assert "template" not in explorer.values
    assert plain(explorer.shown).startswith("as it should be chosen prompt, 0 of 2 scored: how")
    explorer.set(tokenised_together=True)
    assert "&lt;unk&gt;" in str(explorer.shown)
    explorer.set(prompt="")
    assert "the prompt has no tokens" in plain(explorer.shown)


def test_a_template_can_be_taken_away() -> None:
    words = Tokenizer.from_words(["user", "how", "good", "bad"])
    chat = Tokenizer(
        words.backend, words.eos_id, words.pad_id, (), "user {{ messages[0].content }}"
    )
    explorer = explore_tokens(chat, "how", "good", "bad", mistakes=["missing_eos"])
    assert "user how" in plain(explorer.shown)
    explorer.set(template=False)
    assert "user" not in plain(explorer.shown)
    assert without_template(chat).completion("good") == chat.completion("good")
