"""What of a run is exported, for the kinds of runs that are unlike others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.models.load import load_model
from workbench.runs.export.contents import Contents
from workbench.runs.export.export_model import export_model
from workbench.runs.reopen import load_run
from workbench.runs.run import Run

Recorded = Callable[..., Path]


@pytest.mark.full
@pytest.mark.usefixtures("here")
def test_a_policy_that_writes_its_completions(recorded: Recorded, tmp_path: Path) -> None:
    folder = recorded(method="ppo", rollout_size=16, held_out=2)
    found = export_model(folder, "hf", tmp_path / "exported")
    assert found.tokens > 0
    assert "value head" in found.notes[0]
    with pytest.raises(WorkbenchError, match="method ppo trains on what the policy writes"):
        export_model(folder, "trl", tmp_path / "other")


def test_prompts_of_several_turns_are_compared_as_ids_alone(
    recorded: Recorded, tmp_path: Path
) -> None:
    def talk(number: int, answer: str) -> list[dict[str, str]]:
        words = [
            ("user", f"hi {number}"),
            ("assistant", "yes"),
            ("user", "more"),
            ("assistant", answer),
        ]
        return [{"role": role, "content": text} for role, text in words]

    data = tmp_path / "talks.jsonl"
    rows = [{"chosen": talk(n, "good one"), "rejected": talk(n, "bad one")} for n in range(12)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    contents = Contents(load_run(recorded(data=str(data), held_out=4)))
    prompts, completions = contents.texts
    assert prompts == []
    assert len(completions) == 2 * len(contents.rows) / 2 > 0
    assert contents.prompts


def test_a_base_that_is_another_model_now_is_refused(
    make_recorded: Callable[..., Run], model_folder: Path
) -> None:
    run = make_recorded()
    assert Contents(run).base.policy.vocab_size == load_model(str(model_folder)).policy.vocab_size
    run.reference_hash = "0" * 64
    with pytest.raises(WorkbenchError, match="started from a model with hash 000000000000, but"):
        _ = Contents(run).base


def test_x_transformers_are_refused(recorded: Recorded) -> None:
    run = load_run(recorded())
    run.policy.checkpoint_format = "x_transformers"
    with pytest.raises(WorkbenchError, match=r"\(x_transformers\), which no other tool loads"):
        Contents(run)
