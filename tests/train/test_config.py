"""Settings: each range is kept, and what a person gave stays."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from workbench.core.losses import LOSSES, all_parameters
from workbench.errors import WorkbenchError
from workbench.train.config import DEFAULTS, TrainConfig
from workbench.train.config.defaults import ROLLOUTS
from workbench.train.config.train_config import OF_ROLLOUTS

RANGED = [part for part in fields(TrainConfig) if part.metadata.get("low") is not None]
# Parameters that are set in equal ratios have a slider and take any number above 0.
RATIOS = [name for name, (parameter, _) in all_parameters().items() if parameter.log]
BOUNDED = [part for part in RANGED if part.name not in RATIOS]
WHOLE = [part for part in RANGED if str(part.type).startswith("int")]
CHOSEN = [part for part in fields(TrainConfig) if part.metadata.get("choices")]
TEXTS = [part for part in fields(TrainConfig) if str(part.type).startswith("str")]


def refused(name: str, value: Any) -> str:
    with pytest.raises(WorkbenchError) as caught:
        TrainConfig(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name}={value!r} is ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("part", BOUNDED, ids=lambda part: part.name)
def test_each_range_ends_where_it_says(part: Any) -> None:
    low, high = part.metadata["low"], part.metadata["high"]
    for value in (low, high):
        method = "ppo" if part.name in OF_ROLLOUTS else None
        assert getattr(TrainConfig(**{part.name: value}, method=method), part.name) == value
    small = 1 if part in WHOLE else abs(low) * 1e-3 or 1e-9
    for value in (low - small, high + 1, math.nan, math.inf, -math.inf, True, "much", [1]):
        message = refused(part.name, value)
        assert f"{low:g} to {high:g}" in message


@pytest.mark.parametrize("part", WHOLE, ids=lambda part: part.name)
def test_counts_are_whole(part: Any) -> None:
    value = float(part.metadata["low"]) + 0.5
    assert "whole number" in refused(part.name, value)


@pytest.mark.parametrize("part", CHOSEN, ids=lambda part: part.name)
def test_each_choice_is_one_of_those_listed(part: Any) -> None:
    for choice in part.metadata["choices"]:
        assert getattr(TrainConfig(**{part.name: choice}), part.name) == choice
    message = refused(part.name, "nonsense")
    assert all(choice in message for choice in part.metadata["choices"])


@pytest.mark.parametrize("part", TEXTS, ids=lambda part: part.name)
def test_texts_are_texts(part: Any) -> None:
    refused(part.name, 3)


@pytest.mark.parametrize("value", ["", "half \ud83d", "a\0b", Path("folder")])
def test_a_path_is_one_that_can_be_written_down(value: Any) -> None:
    refused("out", value)


@pytest.mark.parametrize("name", ["schedule", "max_steps", "accumulate", "model", "bucket"])
def test_what_is_not_open_is_not_none(name: str) -> None:
    refused(name, None)


def test_a_switch_is_on_or_off() -> None:
    refused("normalize", 1)


@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("value", [0, -0.1, math.nan, math.inf, 10**400, "0.1", True])
def test_a_ratio_is_a_finite_number_above_0(name: str, value: Any) -> None:
    assert "a finite number above 0" in refused(name, value)


@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("value", [1e-9, 25, 1e6])
def test_a_ratio_may_lie_beyond_its_slider(name: str, value: float) -> None:
    assert getattr(TrainConfig(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, "tiny"), ({"model": "smollm2"}, "real"), ({"model": "smollm2", "lora": 8}, "lora")],
)
def test_open_fields_take_the_values_of_the_model(settings: dict[str, Any], kind: str) -> None:
    config = TrainConfig(**settings).resolved()
    table = DEFAULTS["real"] | DEFAULTS["lora"] if kind == "lora" else DEFAULTS[kind]
    assert {name: getattr(config, name) for name in table} == table
    # Layout, largest pass and how texts are shown are chosen with model and device in hand; `out`,
    # `columns` and `shard` may stay open, and what dpo has no use for does.
    still_open = {part.name for part in fields(config) if getattr(config, part.name) is None}
    unused = set(all_parameters()) - {"beta"}
    late = {"layout", "max_tokens", "shown_temperature"}
    assert still_open == {"out", "columns", "shard", *late, *OF_ROLLOUTS} | unused
    assert (config.method, config.loss, config.beta) == ("preference", "dpo", 0.1)
    assert config.resolved() == config


@pytest.mark.parametrize("method", [name for name, one in LOSSES.items() if one.rollouts])
@pytest.mark.parametrize(("model", "kind"), [("tiny", "tiny"), ("smollm2", "real")])
def test_methods_that_write_have_values_of_their_own(method: str, model: str, kind: str) -> None:
    config = TrainConfig(method=method, model=model).resolved()
    table = DEFAULTS[kind] | ROLLOUTS[kind] | ROLLOUTS[method]
    assert {name: getattr(config, name) for name in table} == table
    assert (config.loss, config.reference, config.reward) == (method, "live", "world")
    assert config.resolved() == config
    assert TrainConfig(method=method, data="own.jsonl").resolved().reward is None


@pytest.mark.parametrize("name", OF_ROLLOUTS)
def test_settings_of_rollouts_are_for_methods_that_write(name: str) -> None:
    value = "world" if name == "reward" else 8
    with pytest.raises(WorkbenchError, match=f"{name}=.* is not accepted: kto trains on given"):
        TrainConfig(**{name: value}, method="kto")


@pytest.mark.parametrize("model", ["tiny", "smollm2"])
@pytest.mark.parametrize("name", DEFAULTS["tiny"])
def test_a_value_that_was_given_stays(model: str, name: str) -> None:
    given_value = "grammar" if name == "pairs_from" else 0.01 if name == "lr" else 3
    before = TrainConfig(model=model, **{name: given_value})
    resolved = before.resolved()
    assert getattr(resolved, name) == given_value
    changed = {part.name for part in fields(before)} - {
        part.name
        for part in fields(before)
        if getattr(before, part.name) == getattr(resolved, part.name)
    }
    assert changed == {"method", "loss", "beta", "reference"} | set(DEFAULTS["tiny"]) - {name}


def test_a_config_cannot_be_changed_in_place() -> None:
    config = TrainConfig()
    with pytest.raises(AttributeError):
        config.beta = 1.0  # type: ignore[misc]
    assert replace(config, beta=1.0).beta == 1.0
