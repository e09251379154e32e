"""The card: front matter that parses, numbers of the run, and no claim or markup from outside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from workbench.runs.export.certificate import Certificate
from workbench.runs.export.contents import Contents
from workbench.runs.export.model_card import licence_of, model_card
from workbench.runs.reopen import load_run


def test_it_says_how_the_model_was_made(recorded: Callable[..., Path], tmp_path: Path) -> None:
    data = tmp_path / "my `pairs`.jsonl"
    rows = [
        {"prompt": f"word number {n}", "chosen": f"good {n}", "rejected": f"bad {n}"}
        for n in range(20)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = load_run(recorded(data=str(data), held_out=4))
    text = model_card(Contents(run), Certificate("hf", line="all equal"))
    card = ModelCard(text)
    assert card.data.license == "unknown"
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-generation"
    assert card.data.base_model is None  # a folder is none that the hub knows
    assert "source: `my pairs .jsonl`" in text
    assert hashlib.sha256(data.read_bytes()).hexdigest() in text
    assert "16 to train on, 4 held out" in text
    assert run.data_hash in text
    assert "| held_out/loss |" in text
    assert "lr = 0.001" in text
    assert str(tmp_path) not in text, "where things lie on a machine"
    assert "all equal." in text


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\nlanguage: en\n---\n# A model", "mit"),
        ("---\nlanguage: en\n---\nlicense: mit\n---\n", "unknown"),
        ("no front matter\n", "unknown"),
    ],
)
def test_a_licence_is_read_off_the_card_or_left_open(
    tmp_path: Path, card: str, licence: str
) -> None:
    (tmp_path / "README.md").write_text(card)
    assert licence_of(str(tmp_path)) == licence


def test_the_licence_of_smollm2_is_known() -> None:
    assert licence_of("smollm2") == "apache-2.0"
    assert licence_of("tiny") == "unknown"
