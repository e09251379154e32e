"""PPO on the real model, by whichever reward a person names: a short run that works."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from workbench.data.pairs import ASSISTANT
from workbench.errors import WorkbenchError
from workbench.models.smollm2 import fetch_smollm2
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, StepEvent

pytestmark = pytest.mark.full
FUNCTION = "def words(prompts, completions):\n    return [-len(t.split()) for t in completions]\n"


def real_run(**settings: object) -> Run:
    config = TrainConfig(
        model="smollm2", data=ASSISTANT, samples=2, eval_every=0, max_steps=4, **settings
    )  # fmt: skip
    return Run.create(config)


@pytest.fixture(autouse=True)
def _model_is_there(real_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(real_cache))
    try:
        fetch_smollm2()
    except WorkbenchError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", ["a rule", "a function", "a reward model"])
def test_a_short_run_of_ppo(kind: str, tmp_path: Path) -> None:
    reward = "polite"
    if kind == "a function":
        (tmp_path / "mine.py").write_text(FUNCTION)
        reward = f"{tmp_path / 'mine.py'}:words"
    if kind == "a reward model":
        reward = str(tmp_path / "reward")
        for _ in real_run(method="reward_model", out=reward, held_out=8):
            pass
    run = real_run(
        method="ppo", reward=reward, rollout_size=8, batch_size=4, max_new_tokens=24, held_out=8
    )
    before = {name: weight.clone() for name, weight in run.policy.named_parameters()}
    events = list(run)
    steps = [event.metrics for event in events if isinstance(event, StepEvent)]
    assert len(steps) == 4  # two epochs of a rollout of eight, four at a time
    for metrics in steps:
        assert all(map(math.isfinite, metrics.values()))
        assert metrics["entropy"] > 0
    if kind == "a rule":
        assert 0 <= steps[0]["scores"] <= 1
    if kind == "a function":
        assert steps[0]["scores"] < 0
    first, last = [event.metrics for event in events if isinstance(event, EvalEvent)]
    assert first["held_out/kl/policy_reference"] == pytest.approx(0, abs=1e-3)
    assert last["held_out/kl/policy_reference"] > 0
    assert any(not weight.equal(before[name]) for name, weight in run.policy.named_parameters())
