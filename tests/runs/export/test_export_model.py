"""Exports of small runs: what is written, what is refused, and that nothing half-written stays."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.errors import WorkbenchError
from workbench.models.load import load_model
from workbench.runs.export import certificate
from workbench.runs.export import export_model as module
from workbench.runs.export.certificate import CertificateError
from workbench.runs.export.export_model import FORMS, export_model
from workbench.runs.reopen import load_run
from workbench.runs.run import Run

Recorded = Callable[..., Path]


def left(folder: Path) -> list[str]:
    """What lies beside the run, hidden files too."""
    return sorted(path.name for path in folder.iterdir() if path.name != "run")


@pytest.mark.long
def test_a_process_without_the_workbench_finds_the_same_model(
    recorded: Recorded, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    run, to = recorded(), tmp_path / "exported"
    to.mkdir()  # an empty folder is taken
    found = export_model(run, "hf", to)
    assert found.largest < 1e-5
    assert found.tokens > 50
    assert found.equal == found.answers > 0
    assert found.same_ids == found.texts > 0
    written = json.loads((to / "certificate.json").read_text())
    assert written["largest"] == found.largest
    assert written["policy_hash"] != written["reference_hash"]
    assert left(tmp_path) == ["exported"]
    names = {"config.json", "generation_config.json", "model.safetensors", "README.md"}
    assert names <= {path.name for path in to.iterdir()}


@pytest.mark.usefixtures("here")
def test_adapters_load_onto_their_base(recorded: Recorded, tmp_path: Path) -> None:
    found = export_model(recorded(lora=2, lr=1e-2), "peft", tmp_path / "exported")
    assert found.largest < 1e-5
    assert found.equal == found.answers
    settings = json.loads((tmp_path / "exported" / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"], settings["task_type"]) == (2, 4, "CAUSAL_LM")
    assert (Path(settings["base_model_name_or_path"]) / "config.json").is_file()


@pytest.mark.usefixtures("here")
def test_a_gguf_file_loads_here_again(recorded: Recorded, tmp_path: Path) -> None:
    folder = recorded(lora=2, lr=1e-2)
    found = export_model(folder, "gguf", tmp_path / "exported")
    assert found.largest < 1e-5
    run, again = load_run(folder), load_model(str(tmp_path / "exported" / "model.gguf"))
    tokens = torch.tensor([run.data.held_out[0].prompt + run.data.held_out[0].chosen])
    with torch.no_grad():
        logits = [model.policy.logits(tokens) for model in (again, run)]
    torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-5)
    assert again.tokenizer.digest == run.tokenizer.digest


@pytest.mark.full
@pytest.mark.usefixtures("here")
def test_merged_adapters_and_rounded_weights(recorded: Recorded, tmp_path: Path) -> None:
    run = recorded(lora=2, lr=1e-2)
    assert export_model(run, "hf", tmp_path / "merged").largest < 1e-5
    found = export_model(run, "gguf", tmp_path / "rounded", "f16")
    assert 1e-5 < found.largest < found.tolerance == 0.05


@pytest.mark.parametrize(
    ("options", "to", "words"),
    [
        ({}, "onnx", "to='onnx' is unknown; accepted: hf, peft, gguf, trl"),
        ({}, "peft", "has no adapters .*; accepted: hf"),
        ({"loss": "cdpo"}, "trl", "TRL has no equal of loss cdpo; accepted: dpo,"),
        ({"loss": "ipo"}, "trl", "accepted: runs with normalize=True"),
        ({"method": "reward_model"}, "hf", "a run of method reward_model can't be exported"),
    ],
)
def test_what_a_form_cannot_hold_is_refused(
    recorded: Recorded, tmp_path: Path, options: dict[str, Any], to: str, words: str
) -> None:
    with pytest.raises(WorkbenchError, match=words):
        export_model(recorded(**options), to, tmp_path / "exported")
    assert left(tmp_path) == []


def test_places_that_are_refused_before_the_run_is_read(tmp_path: Path) -> None:
    taken, file = tmp_path / "taken", tmp_path / "file"
    (taken / "mine").mkdir(parents=True)
    file.touch()
    for folder, words in [(taken, "holds files already"), (file, "is no folder")]:
        with pytest.raises(WorkbenchError, match=words):
            export_model(tmp_path / "nothing", "hf", folder)
    with pytest.raises(WorkbenchError, match="takes no new file"):
        export_model(tmp_path / "nothing", "hf", file / "below")
    with pytest.raises(WorkbenchError, match="dtype='f16' is not accepted for hf: f32"):
        export_model(tmp_path / "nothing", "hf", tmp_path / "exported", "f16")
    with pytest.raises(WorkbenchError, match=r"has no checkpoint yet|holds no run"):
        export_model(tmp_path / "nothing", "hf", tmp_path / "exported")
    assert list((taken / "mine").iterdir()) == []


def test_a_run_without_a_checkpoint_is_refused(
    make_recorded: Callable[..., Run], tmp_path: Path
) -> None:
    make_recorded()
    with pytest.raises(WorkbenchError, match="has no checkpoint yet"):
        export_model(tmp_path / "run", "hf", tmp_path / "exported")


def write_and(change: Callable[[Any], None]) -> Callable[..., None]:
    def write(model: Any, folder: Path) -> None:
        write_hf(model, folder)
        change(folder)

    write_hf = module.write_hf
    return write


def other_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= 1.001
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def other_end(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": 2, "pad_token_id": 0}')


def other_words(folder: Path) -> None:
    state = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = state["model"]["vocab"]
    vocabulary["the"], vocabulary["was"] = vocabulary["was"], vocabulary["the"]
    (folder / "tokenizer.json").write_text(json.dumps(state))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_weights, "log-probabilities differ"),
        (other_end, "end tokens differ"),
        (other_words, "the tokenizer differs"),
    ],
)
def test_another_model_is_noticed_and_deleted(
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    words: str,
) -> None:
    monkeypatch.setattr(module, "write_hf", write_and(change))
    with pytest.raises(CertificateError, match=f"is not the trained model.*{words}"):
        export_model(recorded(), "hf", tmp_path / "exported")
    assert left(tmp_path) == []


@pytest.mark.usefixtures("here")
def test_a_tokenizer_that_transformers_replaces_is_said(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does for Qwen2, whatever the folder holds."""
    run_alone = certificate.run_alone

    def replaced(script: Path, given: dict[str, Any]) -> dict[str, Any]:
        found = run_alone(script, given=given)
        return found | {"ids": [[0] for _ in found["ids"]]}

    monkeypatch.setattr(certificate, "run_alone", replaced)
    found = export_model(recorded(), "hf", tmp_path / "exported")
    assert found.same_ids == 0
    assert "load it by PreTrainedTokenizerFast" in found.notes[0]


def fail(error: BaseException) -> Callable[..., None]:
    def write(model: Any, folder: Path) -> None:
        (folder / "half").write_text("written")
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), WorkbenchError, "no space left"),
        (PermissionError(errno.EACCES, "Permission denied"), WorkbenchError, "can't be written"),
        (KeyboardInterrupt("stopped"), KeyboardInterrupt, "stopped"),
    ],
)
def test_nothing_half_written_stays(
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
    words: str,
) -> None:
    monkeypatch.setattr(module, "write_hf", fail(error))
    with pytest.raises(raised, match=words):
        export_model(recorded(), "hf", tmp_path / "exported")
    assert left(tmp_path) == []


def test_the_command_offers_every_form() -> None:
    from dataclasses import fields

    from workbench.cli.command_settings import Export

    choices = next(one.metadata["choices"] for one in fields(Export) if one.name == "to")
    assert choices == (*FORMS, "comparator")
