"""A reward model as a method: its step written out, its run folder, and what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.__main__ import main
from workbench.compare.checkpoint_answers import checkpoint_answers
from workbench.compare.handle_sources import handles, open_handles
from workbench.core.batch import Pair
from workbench.core.transformer import Transformer
from workbench.errors import WorkbenchError
from workbench.models.heads import RewardModel
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.events import EvalEvent, SampleEvent, StepEvent
from workbench.train.method import find_method

METHOD = find_method("reward_model")
PAIRS = [
    Pair((1, 2), (3, 4, 5), (6,)),
    Pair((7,), (8, 9), (10, 11, 12, 13)),
    Pair((14, 15, 16), (17,), (18, 19)),
]


@pytest.fixture
def rewards(policy: Transformer) -> RewardModel:
    """With a head that is not 0, else all texts would have one reward."""
    model = RewardModel(policy).double()
    with torch.no_grad():
        model.weight.copy_(torch.linspace(-1, 1, len(model.weight)))
    return model


def reward(model: RewardModel, prompt: tuple[int, ...], completion: tuple[int, ...]) -> Tensor:
    """The definition: the last hidden state of the whole text, times the head."""
    hidden = model.body.hidden(torch.tensor([[*prompt, *completion]]))
    return (hidden[0, -1] * model.weight).sum()


@pytest.mark.parametrize("layout", ["stacked", "shared_prefix", "packed"])
@pytest.mark.parametrize("sizes", [[3], [1, 2], [1, 1, 1]], ids=str)
def test_a_step_is_that_of_bradley_terry_written_out(
    rewards: RewardModel, take_step: Any, layout: str, sizes: list[int],
) -> None:  # fmt: skip
    differences = torch.stack(
        [reward(rewards, p.prompt, p.chosen) - reward(rewards, p.prompt, p.rejected) for p in PAIRS]
    )
    loss = torch.log1p(torch.exp(-differences)).mean()
    weights = {n: w for n, w in rewards.named_parameters() if "lm_head" not in n}
    expected = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
    batches, start = [], 0
    for size in sizes:
        index = range(start, start + size)
        batches.append(METHOD.collate([PAIRS[i] for i in index], 0, layout, list(index)))
        start += size
    found, metrics = take_step(rewards, batches, method="reward_model")
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["rewards/margins"] == pytest.approx(differences.mean().item(), rel=1e-5)
    # The head computes in float32, as bf16 would make ties of near rewards: 6 digits or so.
    largest = max(float(value.abs().max()) for value in expected.values())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float((found[name] - value).abs().max()) <= 1e-5 * largest, name


@pytest.fixture
def finished(make_recorded: Callable[..., Run]) -> Run:
    run = make_recorded(method="reward_model", lr=1e-2, checkpoint_every=4)
    list(run)
    return run


def test_a_run_folder_and_its_evaluation(finished: Run) -> None:
    run = finished
    assert isinstance(run.policy, RewardModel)
    assert run.folder is not None
    assert run.data.prompts(2), "prompts there are, but nothing to answer them"
    assert not any(isinstance(event, SampleEvent) for event in run.events)
    assert not run.compares
    evaluations = [event for event in run.events if isinstance(event, EvalEvent)]
    assert [event.step for event in evaluations] == [0, 4, 8, 10]
    first, last = evaluations[0].metrics, evaluations[-1].metrics
    assert first["held_out/rewards/ties"] == 1.0, "the head begins at 0"
    assert first["held_out/loss"] == pytest.approx(0.693147, abs=1e-5)
    assert last["held_out/loss"] < first["held_out/loss"]
    assert not any("samples" in name or "kl" in name for name in last)
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["method"] == "reward_model"
    assert summary["settings"] == {"lr": 1e-2, "loss": "bradley_terry"}
    names = sorted(path.name for path in (run.folder / "checkpoints").iterdir())
    assert names == ["step-000004", "step-000008", "step-000010"]
    again = load_run(run.folder)
    assert again.evaluate() == last
    steps = [event for event in run.events if isinstance(event, StepEvent)]
    assert "rewards/accuracies" in steps[0].metrics
    frame = run.held_out_frame()
    assert list(frame)[:3] == ["prompt", "chosen", "rejected"]
    assert frame["rewards/margins"].mean() == pytest.approx(last["held_out/rewards/margins"])


def assert_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(WorkbenchError, match="reward_model has no model that generates texts") as e:
        call()
    assert "\n" not in str(e.value)


def test_no_texts_come_from_it(finished: Run) -> None:
    folder = finished.folder
    assert folder is not None
    assert_refused(lambda: finished.sample(["review of the film"]))
    assert_refused(lambda: finished.samples_frame(2))
    assert_refused(lambda: handles(finished))
    assert_refused(lambda: open_handles(folder))
    assert_refused(lambda: open_handles({"mine": finished}))
    assert_refused(lambda: checkpoint_answers(folder))


@pytest.mark.parametrize("command", [["sample"], ["compare"], ["compare", "--html", "page.html"]])
def test_commands_refuse_it_in_one_line(
    finished: Run, command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([*command, str(finished.folder)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "reward_model has no model that generates texts" in lines[0]
    assert not (tmp_path / "page.html").exists()
    assert main(["evaluate", str(finished.folder)]) == 0
