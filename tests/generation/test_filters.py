"""Filters against hand arithmetic, sorted lists, and the processors of `transformers`."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.filters import (
    FILTERS,
    contrast,
    min_p,
    repetition_penalty,
    top_a,
    top_k,
    top_p,
)
from workbench.generation.sampling import choose, row_generators


def kept(logits: Tensor) -> list[set[int]]:
    return [set(row.isfinite().nonzero()[:, 0].tolist()) for row in logits]


def by_sorting(row: list[float], name: str, value: float) -> set[int]:
    order = sorted(range(len(row)), key=lambda token: -row[token])
    total = math.fsum(math.exp(x) for x in row)
    probability = [math.exp(x) / total for x in row]
    largest = probability[order[0]]
    if name == "top_k":
        return set(order[: int(value)])
    if name in ("min_p", "top_a"):
        lowest = value * (largest if name == "min_p" else largest**2)
        return {t for t in order if probability[t] >= lowest}
    chosen: list[int] = []
    while math.fsum(probability[t] for t in chosen) < value:
        chosen.append(order[len(chosen)])
    return set(chosen)


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from([1, 7, 40, 700]),  # beyond 512, `top_p` first looks at a part
    spread=st.sampled_from([0.01, 1.0, 6.0]),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.001, 0.1, 0.5, 0.9, 0.999]),
    count=st.integers(1, 50),
)
def test_filters_keep_what_their_definitions_keep(size, spread, seed, share, count) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(3, size, generator=generator)
    rows = logits.double().tolist()
    for name in FILTERS:
        value = count if name == "top_k" else share
        filtered = FILTERS[name](logits, value)
        assert kept(filtered) == [by_sorting(row, name, value) for row in rows], name
        alive = filtered.isfinite()
        assert torch.equal(filtered[alive], logits[alive])


def test_filters_worked_by_hand() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert kept(top_k(logits, 2)) == [{0, 1}]
    assert kept(top_p(logits, 0.4)) == [{0}]  # at least one
    assert kept(top_p(logits, 0.79)) == [{0, 1}]
    assert kept(top_p(logits, 0.81)) == [{0, 1, 2}]
    assert kept(min_p(logits, 0.25)) == [{0, 1, 2}]  # at least 0.125
    assert kept(top_a(logits, 0.25)) == [{0, 1, 2}]  # at least 0.25 * 0.25 = 0.0625
    assert kept(top_a(logits, 0.15)) == [{0, 1, 2, 3}]  # 0.0375
    assert kept(top_a(logits, 1.0)) == [{0, 1}]  # 0.25
    assert kept(top_p(top_k(logits, 2), 0.7)) == [{0, 1}]  # 0.625 of what is left is not enough


def test_top_a_leaves_a_sure_model_less_choice_than_an_unsure_one() -> None:
    sure = torch.tensor([[0.9, 0.05, 0.05]]).log()
    unsure = torch.tensor([[0.1] * 10]).log()
    assert kept(top_a(sure, 0.1)) == [{0}]  # 0.1 * 0.81 = 0.081
    assert kept(top_a(unsure, 0.1)) == [set(range(10))]  # 0.001
    assert kept(min_p(sure, 0.05)) == [{0, 1, 2}]  # 0.045


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.8])
@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("TopKLogitsWarper", "top_k", 5),
        ("TopPLogitsWarper", "top_p", 0.8),
        ("MinPLogitsWarper", "min_p", 0.2),
    ],
)
def test_filters_equal_those_of_transformers(kind, name, value, temperature) -> None:
    transformers = pytest.importorskip("transformers")
    logits = 2 * torch.randn(7, 61, generator=torch.Generator().manual_seed(3)) / temperature
    theirs = getattr(transformers, kind)(value)(None, logits)
    assert theirs.isfinite().sum() < logits.numel()
    assert torch.equal(FILTERS[name](logits, value), theirs)


@pytest.mark.parametrize("value", [1.3, 0.8])
def test_the_repetition_penalty_equals_the_one_of_transformers(value) -> None:
    transformers = pytest.importorskip("transformers")
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(7, 61, generator=generator)
    tokens = torch.randint(61, (7, 30), generator=generator)  # some come twice
    theirs = transformers.RepetitionPenaltyLogitsProcessor(value)(tokens, logits.clone())
    assert torch.equal(repetition_penalty(logits, tokens, value), theirs)


def test_the_repetition_penalty_by_hand() -> None:
    logits = torch.tensor([[4.0, -1.0, 3.0, -2.0]])
    tokens = torch.tensor([[0, 1, 0]])  # token 0 came twice and is penalised once
    assert repetition_penalty(logits, tokens, 2.0).tolist() == [[2.0, -2.0, 3.0, -2.0]]


def test_contrast_by_hand() -> None:
    """0.1 * 0.5 = 0.05 is the least that the expert must give: the last token is out."""
    expert = torch.tensor([[0.5, 0.4, 0.06, 0.04]]).log()
    amateur = torch.tensor([[0.7, 0.2, 0.09, 0.01]]).log()
    scores = contrast(expert + 3, amateur - 2, 0.1)  # logits are known up to a constant
    assert kept(scores) == [{0, 1, 2}]
    differences = scores[0, :3] - scores[0, 0]
    wanted = [0.0, math.log(0.4 / 0.2 * 0.7 / 0.5), math.log(0.06 / 0.09 * 0.7 / 0.5)]
    assert differences.tolist() == pytest.approx(wanted, abs=1e-5)
    assert scores.argmax() == 1  # not the likeliest, and not the one that gained most of all
    with pytest.raises(WorkbenchError, match="amateur has 3 tokens, the policy 4"):
        contrast(expert, amateur[:, :3], 0.1)


def draws(logits: Tensor, config: SamplingConfig, count: int) -> Tensor:
    generators = row_generators([[1]] * count, 0, torch.device("cpu"))
    chosen = choose(logits.expand(count, len(logits)), config, generators)
    return chosen.bincount(minlength=len(logits)) / count


def test_draws_follow_the_filtered_distribution() -> None:
    """At temperature 0.5 the weights 5 : 3 : 2 : 1 become 25 : 9 : 4 : 1; top-k 3 leaves three."""
    logits = torch.tensor([5.0, 3.0, 2.0, 1.0]).log()
    found = draws(logits, SamplingConfig(temperature=0.5, top_k=3), 8000)
    expected = torch.tensor([25 / 38, 9 / 38, 4 / 38, 0.0])
    # four standard errors of a share of 8000 draws, at most 4 * sqrt(25 * 13) / 38 / sqrt(8000)
    assert torch.allclose(found, expected, atol=0.0212)


@pytest.mark.parametrize(
    ("setting", "warm", "cold"),
    [
        ({"top_p": 0.82}, {0, 1, 2}, {0, 1}),  # 50, 30, 20 %; at 0.5: 66, 24, 11 %
        ({"min_p": 0.3}, {0, 1, 2}, {0, 1}),  # 0.4 of the likeliest; 0.16
        ({"top_a": 0.5}, {0, 1, 2}, {0, 1}),  # 0.125 of 0.2; 0.216 of 0.105
        ({"top_k": 2}, {0, 1}, {0, 1}),
    ],
)
def test_filters_come_after_the_temperature(setting, warm, cold) -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    for temperature, wanted in ((1.0, warm), (0.5, cold)):
        found = draws(logits, SamplingConfig(temperature=temperature, **setting), 400)
        assert set(found.nonzero()[:, 0].tolist()) == wanted


def test_filters_come_one_after_the_other() -> None:
    """Of 40, 35 and 25 % top-k 2 leaves 53 and 47 %: top-p 0.5 needs one then, and two alone."""
    logits = torch.tensor([0.4, 0.35, 0.25]).log()
    assert draws(logits, SamplingConfig(top_p=0.5), 200).count_nonzero() == 2
    assert draws(logits, SamplingConfig(top_k=2, top_p=0.5), 200).tolist() == [1, 0, 0]


# What a config takes.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", "1"),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("top_a", 1.5),
        ("repetition_penalty", 0),
        ("beams", 0),
        ("beams", 2.0),
        ("contrast_alpha", 1.1),
        ("max_new_tokens", 0),
        ("seed", True),
        ("stop", "."),
        ("stop", ("a", "")),
        ("stop", (1,)),
        ("stop", None),
    ],
)
def test_a_bad_value_is_named(name, value) -> None:
    with pytest.raises(WorkbenchError, match=f"^{name}=.* is not accepted: a ") as raised:
        SamplingConfig(**{name: value})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("temperature", 0.7, 0),
        ("top_k", 5, 0),
        ("top_p", 0.9, 1),
        ("min_p", 0.1, 0),
        ("top_a", 0.1, 0),
        ("contrast_alpha", 0.1, 0),
    ],
)
def test_what_does_not_go_with_beams_is_refused(name, value, accepted) -> None:
    settings = {"temperature": 0, name: value}
    SamplingConfig(**settings)
    with pytest.raises(WorkbenchError) as raised:
        SamplingConfig(**settings, beams=4)
    assert str(raised.value) == (
        f"{name}={value:g} with beams=4 is not accepted: beam search looks for the likeliest text; "
        f"set {name}={accepted}, or beams=1"
    )


def test_a_list_of_stop_strings_becomes_a_tuple() -> None:
    config = SamplingConfig(stop=[".", "!"])  # type: ignore[arg-type]
    assert config == SamplingConfig(stop=(".", "!"))
    assert hash(config) == hash(SamplingConfig(stop=(".", "!")))


def test_every_filter_has_a_field_and_every_number_a_range() -> None:
    parts = SamplingConfig.__dataclass_fields__
    assert FILTERS.keys() <= parts.keys()
    for name, part in parts.items():
        assert set(part.metadata) == ({"help"} if name == "stop" else {"help", "low", "high"})
