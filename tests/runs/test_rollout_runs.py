"""Runs of PPO, GRPO and best-of-n: they raise their reward, go on bit for bit, refuse bad input."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.core.collation import collate_sequences
from workbench.core.losses import LOSSES
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError
from workbench.models.heads import ActorCritic
from workbench.models.load import Model
from workbench.runs.folder.record import Record
from workbench.runs.prepare import open_model
from workbench.runs.reopen import load_run
from workbench.runs.reward.named_rewards import reward_of_run
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, StepEvent

METHODS = [name for name, loss in LOSSES.items() if loss.rollouts]
SMALL = {
    "rollout_size": 32, "batch_size": 16, "max_steps": 7, "checkpoint_every": 1, "held_out": 5,
    "samples": 8, "eval_every": 0, "layout": None,
}  # fmt: skip
MakeRun = Callable[..., Run]


def test_a_branch_within_a_rollout_goes_its_own_way(make_run: MakeRun, to_step: Any) -> None:
    run = make_run(method="ppo", loss=None, **SMALL)
    to_step(run, 1)
    other = run.branch("branch 1")
    for one in (run, other):
        for _ in one:
            pass
    for (name, mine), theirs in zip(
        run.policy.named_parameters(), other.policy.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs), name


def test_the_state_of_a_source_is_plain_json(make_run: MakeRun, to_step: Any) -> None:
    run = make_run(method="ppo", loss=None, **SMALL)
    to_step(run, 1)
    state = json.loads(json.dumps(run._batches.state_dict()))
    fresh = make_run(method="ppo", loss=None, **SMALL)._batches
    fresh.load_state_dict(state)
    mine, theirs = run._batches.next(run.policy), fresh.next(run.policy)
    assert torch.equal(mine[0].tokens, theirs[0].tokens)
    one, other = mine[0].rollout, theirs[0].rollout
    assert torch.equal(one.policy_logps, other.policy_logps)
    assert torch.equal(one.scores, other.scores)


@pytest.mark.parametrize("method", METHODS)
def test_every_prompt_has_a_turn_in_an_epoch(method: str, make_run: MakeRun) -> None:
    run = make_run(method=method, loss=None, **{**SMALL, "max_steps": 0, "epochs": 1})
    seen = set()
    for _ in range(len(run._batches)):
        for batch in run._batches.next(run.policy):
            seen |= set(batch.rollout.prompts.tolist())
    assert seen == set(range(len(run.data.train)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_the_reward_rises(method: str, seed: int, trained: Model) -> None:
    config = TrainConfig(
        method=method, rollout_size=128, max_steps=24 if method == "best_of_n" else 32,
        batch_size=32, eval_every=0, lr=2e-3, seed=seed,
    )  # fmt: skip
    evaluations = [
        event
        for event in Run.create(config, base=copy.deepcopy(trained))
        if isinstance(event, EvalEvent)
    ]
    first, last = (event.metrics["held_out/samples/reward"] for event in evaluations)
    assert last > first + 0.2


def test_metrics_are_those_of_the_step(make_run: MakeRun) -> None:
    run = make_run(method="ppo", loss=None, **SMALL)
    metrics = [event.metrics for event in run if isinstance(event, StepEvent)]
    names = {
        "scores", "kl/rollout", "clip_fraction", "value_loss", "entropy", "lengths/completion",
        "loss", "grad_norm", "kl_penalty",
    }  # fmt: skip
    assert names <= set(metrics[0])
    # The first rollout was written by the reference itself, and at its first step by the policy.
    assert metrics[0]["kl/rollout"] == pytest.approx(0, abs=1e-5)
    assert metrics[0]["clip_fraction"] == 0
    assert all(one["entropy"] > 0 for one in metrics)


def test_the_value_head_leaves_the_language_model_as_it_is() -> None:
    policy = Transformer(TransformerConfig(20, dim=16, layers=1, heads=2, kv_heads=1), seed=1)
    both = ActorCritic(policy)
    with torch.no_grad():
        both.value_weight.normal_(generator=torch.Generator().manual_seed(0))
        both.value_bias.fill_(0.5)
    batch = collate_sequences([((1, 2), (3, 4, 5)), ((6,), (7,))], 0)
    logps, values = both(batch, values=True)
    torch.testing.assert_close(logps.values, policy(batch).values)
    torch.testing.assert_close(both(batch).values, policy(batch).values)
    hidden = policy.hidden(batch.tokens)
    # The value before a token is read where the token is predicted: one position earlier.
    expected = [hidden[0, 1], hidden[0, 2], hidden[0, 3], hidden[1, 0]]
    torch.testing.assert_close(values, torch.stack(expected) @ both.value_weight + 0.5)


def test_a_python_function_is_a_reward(
    make_recorded: MakeRun, model_folder: Path, tmp_path: Path
) -> None:
    calls = []

    def vowels(prompts: list[str], completions: list[str]) -> list[float]:
        calls.append(len(prompts))
        return [float(sum(text.count(v) for v in "aeiou")) for text in completions]

    config = make_recorded("first", method="ppo", loss=None, **SMALL).config
    folder = tmp_path / "own"
    run = Run.create(replace(config, out=str(folder), reward=None, reference=None), reward=vowels)
    for _ in range(5):
        next(run)
    assert calls
    assert Record(folder).config().reward == "python:vowels"
    assert load_run(folder).sample(["review of the phone:"])
    with pytest.raises(WorkbenchError, match="give it again as `reward`"):
        list(Run.resume(folder))
    again = Run.resume(folder, reward=vowels)
    assert [event for event in again if isinstance(event, StepEvent)]


def test_a_reward_model_and_a_file_are_rewards(make_recorded: MakeRun, tmp_path: Path) -> None:
    model = make_recorded("rm", method="reward_model", loss=None, max_steps=2)
    list(model)
    path = tmp_path / "own.py"
    path.write_text(
        "def words(prompts, completions):\n    return [len(c.split()) for c in completions]\n"
    )
    for number, reward in enumerate((str(model.folder), f"{path}:words", "short")):
        run = make_recorded(f"run {number}", method="grpo", loss=None, reward=reward, **SMALL)
        assert "held_out/samples/score" in next(run).metrics
        next(run), next(run)


def test_a_reward_model_with_adapters_is_a_reward(make_recorded: MakeRun) -> None:
    model = make_recorded("rm", method="reward_model", loss=None, max_steps=2, lora=2)
    list(model)
    prompts, texts = ["your opinion of the cafe:"] * 2, ["it was good.", "it was horrible."]
    found = reward_of_run(str(model.folder), model.config, open_model)(prompts, texts)
    batch = collate_sequences(
        [(model.tokenizer.render_prompt(p), model.tokenizer.completion(t))
         for p, t in zip(prompts, texts, strict=True)], model.tokenizer.pad_id
    )  # fmt: skip
    assert found == pytest.approx(model.policy(batch).tolist(), abs=1e-6)


def test_a_prompt_that_fills_the_reward_models_context_is_said(make_recorded: MakeRun) -> None:
    model = make_recorded("rm", method="reward_model", loss=None, max_steps=2)
    list(model)
    reward = reward_of_run(str(model.folder), model.config, open_model)
    reward([" ".join(["the"] * (reward.max_length - 1))], ["good"])
    with pytest.raises(WorkbenchError, match="no room for an answer in the reward model's"):
        reward([" ".join(["the"] * reward.max_length)], ["good"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"reward": "nowhere"}, "reward='nowhere' is unknown; accepted: world"),
        ({"reward": "no.py:f"}, "no file 'no.py'"),
        ({"group_size": 1, "method": "grpo"}, "group_size=1 is not accepted: grpo compares"),
        (
            {"rollout_size": 30, "method": "grpo"},
            "rollout_size=30 is not a multiple of group_size=8",
        ),
        ({"kl_target": 1.0, "method": "best_of_n"}, "kl_target=1.0 .* best_of_n has no KL penalty"),
        ({"reference": "cached"}, "reference='cached' is not accepted: ppo scores what"),
        ({"loss": "dpo"}, "rollout_size=32 is not accepted: dpo trains on given"),
        ({"clip": 0.0}, "clip=0.0 is not accepted"),
        ({"ld_alpha": 0.5}, "ld_alpha=0.5 is not defined for ppo"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_settings_are_refused(settings: dict[str, Any], said: str, make_run: MakeRun) -> None:
    with pytest.raises(WorkbenchError, match=said) as caught:
        make_run(**{"loss": None if "method" in settings else "ppo", **SMALL, **settings})
    assert "\n" not in str(caught.value)


def test_a_constant_reward_is_said(make_run: MakeRun) -> None:
    run = make_run(method="ppo", loss=None, reward="polite", **SMALL)  # no review is
    with pytest.raises(WorkbenchError, match="gave 0 to all 32 completions of the first rollout"):
        list(run)


@pytest.mark.parametrize(("target", "factor"), [(1000.0, 0.98), (1e-3, 1.02)])
def test_the_kl_penalty_is_steered_to_its_target(
    target: float, factor: float, make_run: MakeRun
) -> None:
    """Four steps a rollout, and a rollout's KL sets the penalty of the next: by 2% at most. The
    first is written by the reference itself, whose KL is 0: below any target."""
    run = make_run(method="ppo", loss=None, kl_target=target, **{**SMALL, "max_steps": 12})
    penalties = [event.metrics["kl_penalty"] for event in run if isinstance(event, StepEvent)]
    by_rollout = penalties[::4]
    assert by_rollout[0] == pytest.approx(0.1)
    assert by_rollout[1] == pytest.approx(0.098)
    assert by_rollout[2] == pytest.approx(0.098 * factor)


def test_adapters_are_off_for_the_reference_alone(make_run: MakeRun) -> None:
    run = make_run(method="ppo", loss=None, lora=4, **{**SMALL, "lr": 0.05})
    first, *_, last = [event.metrics for event in run if isinstance(event, EvalEvent)]
    assert first["held_out/kl/policy_reference"] == 0
    assert last["held_out/kl/policy_reference"] > 1e-3


def test_texts_are_written_by_the_language_model_itself(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not through the value head's wrapper, which has no fast step for a single token."""
    run = make_run(method="ppo", loss=None, **SMALL)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ActorCritic, "hidden", refuse)
    assert run.sample(["review of the phone:"])


@pytest.mark.parametrize("method", METHODS)
def test_what_an_item_counts_in_the_mean(method: str, make_run: MakeRun) -> None:
    """A completion in GRPO, a token in the others."""
    run = make_run(method=method, loss=None, **SMALL)
    (batch,) = run._batches.next(run.policy)
    lengths = batch.lengths()
    assert (lengths > 1).any()
    expected = torch.ones_like(lengths) if method == "grpo" else lengths
    assert torch.equal(run.method.weights(batch), expected)


def test_a_run_of_another_method_is_no_reward(make_recorded: MakeRun) -> None:
    other = make_recorded("dpo", max_steps=1)
    list(other)
    said = "is a run of method preference; accepted: reward_model"
    with pytest.raises(WorkbenchError, match=said):
        make_recorded("ppo", method="ppo", loss=None, reward=str(other.folder), **SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": "be brief"}, "row 3 has a system message"),
        (
            {"prompt": [{"role": r, "content": "a"} for r in ("user", "assistant", "user")]},
            "row 3 has several turns",
        ),
    ],
)
def test_a_reward_model_is_not_asked_about_what_it_would_not_see(
    make_recorded: MakeRun, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    model = make_recorded("rm", method="reward_model", loss=None, max_steps=1)
    list(model)
    rows: list[dict[str, Any]] = [
        {"prompt": f"review of the {name}:"} for name in ("phone", "hotel", "film", "cafe")
    ]
    rows[2] |= changes
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    settings = {**SMALL, "held_out": 1, "data": str(path)}
    with pytest.raises(WorkbenchError, match=message):
        make_recorded("ppo", method="ppo", loss=None, reward=str(model.folder), **settings)
