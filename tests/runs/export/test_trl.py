"""What is written for TRL: names of losses, rows, the order of batches, the learning rate.

The losses themselves, with --full, are those of TRL's own loop on the written folder.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.core.losses import LOSSES
from workbench.errors import WorkbenchError
from workbench.runs.export.certificate import TEMPLATES
from workbench.runs.export.contents import Contents
from workbench.runs.export.export_model import export_model
from workbench.runs.export.trl_folder import _batches
from workbench.runs.export.trl_settings import DPO, OTHERS, equivalent
from workbench.runs.reopen import load_run
from workbench.train.config import TrainConfig
from workbench.train.loop import _lr_share

Recorded = Callable[..., Path]


def config(**settings: Any) -> TrainConfig:
    return TrainConfig(precision="float32", **settings).resolved()


@pytest.mark.parametrize("loss", [n for n, one in LOSSES.items() if not one.rollouts])
def test_every_loss_has_an_equal_or_is_refused(loss: str) -> None:
    if loss in (*DPO, *OTHERS):
        settings = {"normalize": True} if loss == "ipo" else {}
        found = equivalent(config(loss=loss, **settings))
        assert found.arguments["learning_rate"] == 5e-4
        assert found.arguments["adam_beta2"] == 0.98
        assert bool(found.differs) == (loss in ("nll", "cpo", "orpo"))
    else:
        with pytest.raises(WorkbenchError, match=f"TRL has no equal of loss {loss}; accepted: dpo"):
            equivalent(config(loss=loss))


def test_sums_and_modifiers_under_the_names_of_trl() -> None:
    found = equivalent(config(loss="0.8*dpo+0.2*bco_pair", ld_alpha=0.5, beta=0.3)).arguments
    assert found["loss_type"] == ["sigmoid", "bco_pair"]
    assert found["loss_weights"] == [0.8, 0.2]
    assert (found["ld_alpha"], found["beta"]) == (0.5, 0.3)
    found = equivalent(config(loss="dpo", divergence="alpha", divergence_alpha=2.0)).arguments
    assert found["f_divergence_type"] == "alpha_divergence"
    assert found["f_alpha_divergence_coef"] == 2.0
    assert (
        equivalent(config(loss="robust", label_smoothing=0.2)).arguments["label_smoothing"] == 0.2
    )
    assert equivalent(config(loss="simpo", gamma=0.4)).arguments["simpo_gamma"] == 0.4
    with pytest.raises(WorkbenchError, match="wpo=True has no equal in TRL for loss simpo"):
        equivalent(config(loss="simpo", wpo=True))


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_learning_rate_is_that_of_the_run(schedule: str) -> None:
    pytest.importorskip("datasets")
    share = runpy.run_path(str(TEMPLATES / "train.py"))["lr_share"]
    for warmup in (0, 1, 5):
        run = config(schedule=schedule, warmup=warmup)
        for step in range(12):
            assert share(step, 12, warmup, schedule) == _lr_share(step, 12, run)


@pytest.mark.usefixtures("here")
def test_rows_and_batches_are_those_of_the_run(recorded: Recorded, tmp_path: Path) -> None:
    run, to = load_run(recorded(max_steps=7)), tmp_path / "exported"
    found = export_model(run, "trl", to, losses=0)
    rows = [json.loads(line) for line in (to / "data" / "train.jsonl").read_text().splitlines()]
    order = json.loads((to / "data" / "batches.json").read_text())
    for step, batch in enumerate(order):
        (ours,) = run._batches.at(step)  # type: ignore[attr-defined]
        assert ours.index is not None
        assert batch == ours.index.tolist()
    assert len(order) == 7
    pair, text = run.data.train[order[0][0]], run.data.train_texts[order[0][0]]
    row = rows[order[0][0]]
    assert row["prompt_ids"] + row["chosen_ids"] == [*pair.prompt, *pair.chosen]
    assert row["texts"]["rejected"] == text.rejected
    compile((to / "train.py").read_text(), "train.py", "exec")
    assert any("losses of TRL not compared" in note for note in found.notes)
    assert not (to / "README.md").read_text().startswith("---")


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        ({"accumulate": 2, "batch_size": 19}, 2),  # 38 rows: a step of two alike
        ({"accumulate": 2, "batch_size": 8}, 1),  # the last pass of an epoch is smaller
        ({"accumulate": 2, "batch_size": 19, "loss": "aot"}, 1),  # its mean is over the step
    ],
)
def test_a_step_of_unequal_passes_is_one_pass(
    recorded: Recorded, settings: dict[str, Any], passes: int
) -> None:
    contents = Contents(load_run(recorded(epochs=1, max_steps=0, **settings)))
    batches, accumulate = _batches(contents)
    assert accumulate == passes
    assert sorted(row for rows in batches for row in rows) == list(range(38))


@pytest.mark.full
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lora": 2},
        {"accumulate": 2, "batch_size": 19, "schedule": "cosine", "weight_decay": 0.1},
        {"loss": "0.8*dpo+0.2*apo_zero", "ld_alpha": 0.3},
        {"loss": "aot"},
        {"loss": "simpo"},
        {"loss": "kto"},
        {"loss": "sft", "accumulate": 2},
    ],
    ids=lambda settings: ", ".join(map(str, settings.values())) or "dpo",
)
def test_the_script_has_the_losses_of_the_run(
    recorded: Recorded, tmp_path: Path, settings: dict[str, Any]
) -> None:
    pytest.importorskip("trl", reason="TRL is in the extra `bench`")
    found = export_model(recorded(**{"max_steps": 8, **settings}), "trl", tmp_path / "exported")
    assert found.losses["steps"] == 8
    assert found.losses["largest"] < 1e-5
    assert len(set(found.losses["ours"])) > 1
