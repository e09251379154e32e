"""Tables of the methods whose completions the policy writes: their arithmetic and their files."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from benchmarks import grpo, rlhf, rlhf_costs, rollouts
from workbench.runs import recorded_rlhf


def test_shares_and_ratios_by_hand() -> None:
    # The first round does not count. Of 20 seconds 4 + 6 were written in, 20 + 30 tokens.
    batches = SimpleNamespace(
        seconds={
            "writing": [9.0, 4.0, 6.0], "plain": [9.0, 2.0, 6.0], "reward": [9.0, 1.0, 1.0],
            "logps": [9.0, 1.0, 2.0], "updates": [9.0, 2.0, 3.0],
        },
        tokens=[7, 20, 30],
        config=SimpleNamespace(rollout_size=16, precision="float32"),
    )  # fmt: skip
    found = rollouts.row("tiny", "ppo", batches)  # type: ignore[arg-type]
    assert [found[part] for part in rollouts.PARTS] == pytest.approx([0.5, 0.1, 0.15, 0.25])
    assert found["tokens/s"] == 5.0  # 20 / 4 and 30 / 6
    assert found["plain tokens/s"] == 7.5  # 20 / 2 and 30 / 6
    assert found["ratio"] == 0.75  # 2 / 4 and 6 / 6
    assert (found["seconds a rollout"], found["rounds"]) == (10.0, 2)


def test_plain_generate_writes_what_the_rollout_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    written: list[list[list[int]]] = []
    generate = rollouts.generate

    def kept(*given: object, **named: object) -> list[list[int]]:
        written.append(generate(*given, **named))  # type: ignore[arg-type]
        return written[-1]

    monkeypatch.setattr(rollouts, "generate", kept)
    monkeypatch.setattr("workbench.train.rollouts.rollout_batches.generate", kept)
    small = {"model": "tiny", "rollout_size": 16, "batch_size": 8}
    monkeypatch.setitem(rollouts.MODELS, "tiny", small)
    monkeypatch.setattr("workbench.runs.prepare.tiny_base", _untrained)
    batches = rollouts.timed("tiny", "grpo", 1)
    assert len(written) == 4
    assert written[0] == written[1]
    assert written[2] == written[3] != written[0]
    assert all(len(batches.seconds[part]) == 2 for part in (*rollouts.PARTS, "plain"))


def _untrained(world: object, **_: object) -> object:
    from workbench.data.reviews.world import Reviews
    from workbench.train.base_model import new_model

    return new_model(Reviews(world))  # type: ignore[arg-type]


def test_a_rollout_is_trained_on_equally_often_on_both_sides() -> None:
    ours, *peers = grpo.contenders("folder")
    assert ours.setting == {"config": {"method": "grpo"}}
    for peer in peers:
        config = peer.setting["config"]
        steps = config["steps_per_generation"] * config["num_iterations"]
        assert peer.setting["steps_per_rollout"] == grpo.steps_per_rollout() == steps
        size = config["steps_per_generation"] * config["per_device_train_batch_size"]
        assert size == grpo.CONFIG.rollout_size


def test_both_tables_of_the_frontier_are_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def frontier(config: object, seeds: range, progress: object) -> pd.DataFrame:
        asked.append((config, list(seeds)))
        rows = [("DPO", seed, 0.5, 0.25 + seed / 2) for seed in seeds]
        return pd.DataFrame(rows, columns=["method", "seed", "kl", "reward"])

    def hacking(seeds: range, progress: object) -> pd.DataFrame:
        rows = [("PPO", seed, step, 2.0, 3.0, 0.5) for seed in seeds for step in (0, 20)]
        columns = ["method", "seed", "step", "kl", "score", "reward"]
        return pd.DataFrame(rows, columns=columns)

    monkeypatch.setattr(rlhf, "rlhf_frontier", frontier)
    monkeypatch.setattr(rlhf, "reward_hacking", hacking)
    monkeypatch.setattr(sys, "argv", ["rlhf", "--seeds", "2", "--results", str(tmp_path)])
    rlhf.main()
    assert asked == [(rlhf.CONFIG, [0, 1])]
    assert len(pd.read_csv(tmp_path / "rlhf_frontier.csv")) == 2
    assert len(pd.read_csv(tmp_path / "rlhf_hacking.csv")) == 4
    assert "0.5" in capsys.readouterr().out  # the mean of .25 and .75


def test_the_shipped_costs_have_a_row_for_each_method() -> None:
    costs = recorded_rlhf("real_costs")
    assert tuple(costs["method"]) == rlhf_costs.MEASURED
    assert (costs["peak_mb"] > costs["weights_mb"] + costs["optimizer_mb"]).all()
    assert (costs["seconds_per_item"] > 0).all()
    models = costs.set_index("method")["models"]
    assert models["PPO"] == "policy with value head, reference, reward model"
    assert models["DPO"] == "policy"
