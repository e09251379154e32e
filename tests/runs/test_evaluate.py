"""The held-out evaluation, against its definition, one sequence at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from statistics import fmean, stdev

import pytest
import torch
from torch import nn

from workbench.core.batch import Pair
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.runs.run import Run
from workbench.train.precision import computing
from workbench.train.settings import LiveSettings

MakeRun = Callable[..., Run]


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    """Trained a little, so that the policy is not the reference."""
    run = make_run(max_steps=4, eval_every=0, samples=6, lr=5e-3)
    list(run)
    return run


@torch.no_grad()
def logp(policy: nn.Module, prompt: tuple[int, ...], completion: tuple[int, ...]) -> float:
    logps = policy.logits(torch.tensor([[*prompt, *completion]])).log_softmax(-1)[0].double()
    return sum(float(logps[len(prompt) + i - 1, token]) for i, token in enumerate(completion))


def log_ratio(run: Run, reference: nn.Module, prompt: list[int], completion: list[int]) -> float:
    both = (tuple(prompt), tuple(completion))
    return logp(run.policy, *both) - logp(reference, *both)


def rho(run: Run, reference: nn.Module, pair: Pair) -> tuple[float, float]:
    chosen, rejected = (
        logp(run.policy, pair.prompt, side) - logp(reference, pair.prompt, side)
        for side in (pair.chosen, pair.rejected)
    )
    return chosen, rejected


def test_the_held_out_pairs_are_scored_by_definition(run: Run, trained: object) -> None:
    reference = trained.policy  # type: ignore[attr-defined]
    ratios = [rho(run, reference, pair) for pair in run.data.held_out]
    margins = [chosen - rejected for chosen, rejected in ratios]
    found = run._evaluator.score_items(run.policy, LiveSettings(loss="dpo", beta=0.5))
    assert found["logratios/chosen"] == pytest.approx(fmean(c for c, _ in ratios), abs=1e-4)
    assert found["logratios/rejected"] == pytest.approx(fmean(r for _, r in ratios), abs=1e-4)
    assert found["rewards/margins"] == pytest.approx(0.5 * fmean(margins), abs=1e-4)
    assert found["loss"] == pytest.approx(
        fmean(math.log1p(math.exp(-0.5 * margin)) for margin in margins), abs=1e-4
    )
    share = fmean(margin > 0 for margin in margins)
    assert found["rewards/accuracies"] == pytest.approx(share)
    assert found["rewards/accuracies_low"] < share < found["rewards/accuracies_high"] + 1e-9
    assert abs(fmean(margins)) > 1e-3, "otherwise policy and reference are still one"


def test_values_a_pair_are_in_the_order_of_the_data(run: Run, trained: object) -> None:
    reference = trained.policy  # type: ignore[attr-defined]
    found = run._evaluator.item_values(run.policy, LiveSettings(loss="dpo"))
    expected = [rho(run, reference, pair)[0] for pair in run.data.held_out]
    assert found["logratios/chosen"].tolist() == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def kl_along(
    policy: nn.Module, reference: nn.Module, prompt: list[int], completion: list[int]
) -> float:
    """The exact KL of the next-token distributions, summed over the completion's positions."""
    ours, theirs = (
        model.logits(torch.tensor([[*prompt, *completion]]))[0, len(prompt) - 1 : -1]
        .double()
        .log_softmax(-1)
        for model in (policy, reference)
    )
    return float((ours.exp() * (ours - theirs)).sum())


def drawn_completions(run: Run, prompts: list[list[int]], room: int) -> tuple[list[list[int]], int]:
    """The completions that an evaluation draws, with the end of those that reached it, and how
    many did not."""
    tokenizer = run.tokenizer
    sampling = SamplingConfig(max_new_tokens=room, seed=run.config.seed)
    drawn = generate(run.policy, prompts, sampling, tokenizer.stop_ids, tokenizer.pad_id)
    cut = [
        len(ids) == room or len(prompt) + len(ids) == 64
        for prompt, ids in zip(prompts, drawn, strict=True)
    ]
    ended = [
        ids if is_cut else [*ids, tokenizer.eos_id] for ids, is_cut in zip(drawn, cut, strict=True)
    ]
    return ended, sum(cut)


@pytest.mark.parametrize("room", [12, 60])
def test_the_kl_is_measured_along_the_policys_own_samples(
    make_run: MakeRun, trained: object, room: int
) -> None:
    """With 60 new tokens asked for, the model's length of 64 cuts some texts before their end."""
    reference = copy.deepcopy(trained.policy)  # type: ignore[attr-defined]
    run = make_run(max_steps=4, eval_every=0, samples=6, lr=5e-3, max_new_tokens=room)
    with torch.no_grad():  # a weak end of sequence, so that texts run into both limits
        run.policy.embed_tokens.weight[run.tokenizer.eos_id] *= 0.2  # type: ignore[index,union-attr,operator]
    prompts = [run.tokenizer.render_prompt(pair.prompt) for pair in run.data.prompts(6)]
    completions, cut = drawn_completions(run, prompts, room)
    assert cut > 0
    along, ratios = (
        [one(p, c) for p, c in zip(prompts, completions, strict=True)]
        for one in (
            lambda p, c: kl_along(run.policy, reference, p, c),
            lambda p, c: log_ratio(run, reference, p, c),
        )
    )
    metrics = run.evaluate()
    for name, values in (("", along), ("_sampled", ratios)):
        key = f"held_out/kl/policy_reference{name}"
        assert metrics[key] == pytest.approx(fmean(values), abs=1e-3)
        error = stdev(values) / math.sqrt(len(values))
        assert metrics[f"{key}_se"] == pytest.approx(error, abs=1e-3)
    drawn = generate(
        run.policy, prompts, SamplingConfig(max_new_tokens=room), run.tokenizer.stop_ids, 0
    )
    assert metrics["held_out/samples/length"] == pytest.approx(fmean(map(len, drawn)))


def test_with_adapters_the_kl_is_that_to_the_weights_without_them(
    make_run: MakeRun, trained: object
) -> None:
    pytest.importorskip("peft")
    reference = copy.deepcopy(trained.policy)  # type: ignore[attr-defined]
    run = make_run(lora=4, eval_every=0, samples=6, lr=5e-2)
    list(run)
    assert run.reference.model is run.policy
    prompts = [run.tokenizer.render_prompt(pair.prompt) for pair in run.data.prompts(6)]
    completions, _ = drawn_completions(run, prompts, 12)
    along = [
        kl_along(run.policy, reference, p, c) for p, c in zip(prompts, completions, strict=True)
    ]
    assert fmean(along) > 0.01
    found = run.evaluate()["held_out/kl/policy_reference"]
    assert found == pytest.approx(fmean(along), abs=1e-3)


@pytest.mark.parametrize("settings", [{}, {"lora": 4}], ids=["weights", "adapters"])
def test_in_half_precision_the_kl_begins_at_0_and_stays_close(
    make_run: MakeRun, trained: object, settings: dict[str, int]
) -> None:
    if settings:
        pytest.importorskip("peft")
    reference = copy.deepcopy(trained.policy)  # type: ignore[attr-defined]
    run = make_run(precision="bf16", samples=6, lr=2e-2, **settings)
    assert run.evaluate()["held_out/kl/policy_reference"] == 0
    list(run)
    prompts = [run.tokenizer.render_prompt(pair.prompt) for pair in run.data.prompts(6)]
    with computing(run.policy, "cpu", "bf16"):
        completions, _ = drawn_completions(run, prompts, 12)
    along = [
        kl_along(run.policy, reference, p, c) for p, c in zip(prompts, completions, strict=True)
    ]
    assert fmean(along) > 0.1
    found = run.evaluate()["held_out/kl/policy_reference"]
    assert found == pytest.approx(fmean(along), rel=0.03)


def test_a_parked_reference_is_read_for_the_kl_alone(make_run: MakeRun) -> None:
    run = make_run(max_steps=4, eval_every=0, samples=6, lr=5e-3)
    list(run)
    expected = run.evaluate()
    run.reference.park()
    assert run.evaluate() == expected
    assert expected["held_out/kl/policy_reference"] > 0
    assert {weight.device.type for weight in run.reference.model.parameters()} == {"meta"}


def test_what_the_world_knows_of_the_samples_is_told(run: Run) -> None:
    metrics = run.evaluate()
    assert run.data.scores is not None
    tokenizer = run.tokenizer
    texts = run.data.prompts(6)
    prompts = [tokenizer.render_prompt(pair.prompt) for pair in texts]
    sampling = SamplingConfig(max_new_tokens=12, seed=0)
    drawn = generate(run.policy, prompts, sampling, tokenizer.stop_ids, tokenizer.pad_id)
    scored = [
        run.data.scores(pair.prompt, tokenizer.decode(ids))
        for pair, ids in zip(texts, drawn, strict=True)
    ]
    for name in ("reward", "grammatical"):
        expected = fmean(score[name] for score in scored)
        assert metrics[f"held_out/samples/{name}"] == pytest.approx(expected)


def test_an_evaluation_changes_nothing(run: Run) -> None:
    before = copy.deepcopy(run.policy.state_dict())
    assert run.evaluate() == run.evaluate()
    assert all(value.equal(before[name]) for name, value in run.policy.state_dict().items())
    assert torch.is_grad_enabled()


def test_before_training_both_say_the_same(make_run: MakeRun) -> None:
    run = make_run(samples=3)
    samples = run.sample(run.prompts, SamplingConfig(max_new_tokens=8, seed=4))
    assert len(samples) == len(run.prompts)
    assert all(sample.policy == sample.reference for sample in samples)
    other = run.sample(run.prompts, SamplingConfig(max_new_tokens=8, seed=5))
    assert [s.policy for s in other] != [s.policy for s in samples]


def test_how_answers_are_shown_changes_no_estimate(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KL, lengths and true rewards are about the policy itself, whatever people are shown."""
    asked: list[SamplingConfig] = []

    def spy(policy: nn.Module, prompts: object, config: SamplingConfig, *more: object, **options):
        asked.append(config)
        return generate(policy, prompts, config, *more, **options)

    monkeypatch.setattr("workbench.runs.evaluate.generate", spy)
    settings = {"max_steps": 2, "eval_every": 0, "samples": 6, "lr": 5e-3}
    found = []
    for shown in ({}, {"shown_temperature": 0.2, "shown_length": 3}):
        run = make_run(**settings, **shown)
        list(run)
        found.append((run.evaluate(), run.samples_frame(4)["text"].tolist()))
        assert run.estimate_sampling == SamplingConfig(max_new_tokens=run.config.max_new_tokens)
    assert found[0] == found[1]
    shown_ones = [one for one in asked if one.temperature == 0.2]
    assert shown_ones
    assert all(one.max_new_tokens == 3 for one in shown_ones)


def test_samples_say_how_they_were_drawn_and_where_they_were_cut(make_run: MakeRun) -> None:
    run = make_run(max_steps=1, eval_every=0, samples=2, shown_temperature=0.5, shown_length=1)
    list(run)
    (sample, *_) = run.sample(run.prompts[:1])
    assert sample.drawn == "temperature 0.5 · seed 0 · longest answer 1"
    assert (sample.reference_cut, sample.policy_cut) == (1, 1)
