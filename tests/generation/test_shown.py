"""How answers that people read are drawn, said in words, and where they are cut."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.core.policy import MAKERS, Recommended
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.tokenizer import Tokenizer
from workbench.generation.config import SamplingConfig
from workbench.generation.shown import cut_at, described, shown_sampling
from workbench.models.load import (
    PUBLISHED,
    Model,
    load_model,
    recommended_before_loading,
    recommended_in,
    save_model,
)

SHAPE = TransformerConfig(11, dim=8, layers=1, heads=2, hidden_dim=8, max_length=16)


def policy_with(*pairs: tuple[str, float]) -> Transformer:
    policy = Transformer(SHAPE)
    policy.recommended_sampling = Recommended(pairs, MAKERS)
    return policy


def test_without_a_recommendation_answers_are_greedy() -> None:
    policy = Transformer(SHAPE)
    shown = shown_sampling(policy)
    assert shown == SamplingConfig(temperature=0, max_new_tokens=128)
    assert described(shown, [policy]) == (
        "greedy, as nothing else is recommended · longest answer 128"
    )


def test_the_makers_recommendation_is_taken_and_named() -> None:
    policy = policy_with(("temperature", 0.2), ("top_p", 0.9))
    shown = shown_sampling(policy, max_new_tokens=48)
    assert shown == SamplingConfig(temperature=0.2, top_p=0.9)
    assert described(shown, [policy]) == (
        "temperature 0.2, top-p 0.9, as its makers recommend · seed 0"
    )
    assert described(shown) == "temperature 0.2, top-p 0.9 · seed 0"


def test_a_given_temperature_replaces_all_of_the_recommendation() -> None:
    policy = policy_with(("temperature", 0.2), ("top_p", 0.9))
    shown = shown_sampling(policy, temperature=1.0, max_new_tokens=48, seed=3)
    assert shown == SamplingConfig(seed=3)
    assert described(shown, [policy]) == "temperature 1 · seed 3"


def test_models_with_different_recommendations_share_none() -> None:
    one, other = policy_with(("temperature", 0.2)), Transformer(SHAPE)
    assert MAKERS not in described(shown_sampling(one), [one, other])


def test_a_recommendation_that_is_not_accepted_counts_as_none() -> None:
    assert shown_sampling(policy_with(("temperature", 99.0))) == shown_sampling(Transformer(SHAPE))


@pytest.mark.parametrize(
    ("file", "pairs"),
    [
        ({"do_sample": True, "temperature": 0.6}, {"temperature": 0.6, "top_p": 1.0}),
        ({"do_sample": True, "top_p": 0.9}, {"temperature": 1.0, "top_p": 0.9}),
        ({"do_sample": False, "temperature": 0.6}, {"temperature": 0.0}),
        ({"eos_token_id": 2}, {"temperature": 0.0}),
        (None, {"temperature": 0.0}),
    ],
)
def test_generation_config_of_a_folder(
    tmp_path: Path, file: dict[str, object] | None, pairs: dict[str, float]
) -> None:
    if file is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(file))
    assert recommended_in(tmp_path).settings.items() >= pairs.items()
    assert recommended_before_loading(str(tmp_path)) == recommended_in(tmp_path)


def test_a_loaded_model_brings_its_recommendation(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_words(["a", "b"])
    shape = replace(SHAPE, vocab_size=tokenizer.vocab_size)
    save_model(Model("small", Transformer(shape), tokenizer, 16), tmp_path)
    (tmp_path / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.6}')
    policy = load_model(str(tmp_path)).policy
    assert shown_sampling(policy).temperature == 0.6


def test_smollm2_is_drawn_as_its_card_says() -> None:
    assert PUBLISHED["smollm2"].settings == {"temperature": 0.2, "top_p": 0.9}


def test_where_an_answer_is_cut() -> None:
    policy, sampling = Transformer(SHAPE), SamplingConfig(max_new_tokens=5)

    def cut(prompt: int, ids: int, sampling: SamplingConfig = sampling) -> int:
        return cut_at(policy, [1] * prompt, [7] * ids, sampling, lambda ids: "a" * len(ids))

    assert cut(3, 5) == 5  # as long as allowed, and no end token
    assert cut(3, 4) == 0
    assert cut(13, 3) == 3  # the model takes 16 tokens in all
    assert cut(3, 5, SamplingConfig(max_new_tokens=5, stop=("aaaaa",))) == 0
