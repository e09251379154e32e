"""README.md of an exported model: the front matter that the hub reads, and how the model was made.

Nothing is claimed that the run doesn't know: an unknown licence is left for a person to fill in.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomli_w

from workbench.core.losses import find_loss
from workbench.data.seals import file_digest
from workbench.models.load import ABOUT, HUB_ID
from workbench.runs.export.certificate import Certificate
from workbench.runs.export.contents import Contents
from workbench.runs.folder.config_file import settings_of
from workbench.runs.run import Run
from workbench.train.events import ChangeEvent, EvalEvent

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
FRONT_MATTER = re.compile(r"\A---\n(.*?)^---$", re.DOTALL | re.MULTILINE)
LICENCE = re.compile(r"^license: *[\"']?([\w.-]+)[\"']? *$", re.MULTILINE)
USE = {
    "hf": 'AutoModelForCausalLM.from_pretrained("FOLDER")',
    "peft": 'PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), "FOLDER")',
    "trl": 'pip install "trl>=1.16,<2" peft\npython train.py',
    "gguf": 'AutoModelForCausalLM.from_pretrained("FOLDER", gguf_file="model.gguf")',
}
TRL = [
    "It starts where the run started, from the model in `model`, and takes the same rows in the "
    "same batches. To go on from trained weights instead, put those of an export to hf into "
    "`model`; the optimiser begins afresh.",
    "",
]
LIBRARIES = {"hf": "transformers", "peft": "peft", "gguf": "gguf"}


def model_card(contents: Contents, certificate: Certificate) -> str:
    """The card of a model in the form that the certificate names."""
    run, to = contents.run, certificate.to
    name = run.config.model
    shown = without_folders(name)
    lines = [] if to == "trl" else ["---", *_front_matter(contents, to), "---", ""]
    what = "to be trained with TRL as by" if to == "trl" else "after"
    lines += [f"# {_code(shown)} {what} {run.method.name}", ""]
    lines += [
        f"Trained from {_code(shown)} with the DPO workbench {version('dpo-workbench')}: method "
        f"{_code(run.method.name)}, loss {_code(str(run.settings.loss))}, {run.step} of "
        f"{run.total} optimiser steps.",
        *([ABOUT[name]] if name in ABOUT else []),
        f"Source of the loss: {find_loss(run.settings.loss).source}.",
        "",
    ]
    if licence_of(name) == "unknown":
        lines += ["The licence of the base model is not known here: fill in `license` above.", ""]
    use = USE[to].format(base="FOLDER/base" if name in ("tiny", "smollm2") else shown)
    lines += ["## Use", "", f"```{'sh' if to == 'trl' else 'python'}", use, "```", ""]
    lines += TRL if to == "trl" else []
    lines += ["## Data", "", *_data(run), "", "## Held-out metrics", "", *_metrics(run), ""]
    lines += ["## Every setting", "", *_settings(run), ""]
    changes = [event for event in run.events if isinstance(event, ChangeEvent)]
    if changes:
        lines += ["Changed while it trained:", ""]
        lines += [f"- before step {c.step + 1}: {_code(f'{c.name} = {c.value}')}" for c in changes]
        lines += [""]
    lines += ["## Certificate", "", f"{certificate}.", ""]
    lines += [f"- {note}" for note in certificate.notes]
    lines += [
        f"- SHA-256 of the trained weights: `{certificate.policy_hash}`",
        f"- SHA-256 of the weights before: `{certificate.reference_hash}`",
        "- the same as data: `certificate.json`",
    ]
    return "\n".join(lines) + "\n"


def without_folders(name: str) -> str:
    """The last part of a path: where things lie on a machine is nobody else's business."""
    return Path(name).name if Path(name).expanduser().exists() else name


def _settings(run: Run) -> list[str]:
    config = replace(
        run.config,
        model=without_folders(run.config.model),
        data=without_folders(run.config.data),
        out=None,
    )
    return _fenced(tomli_w.dumps(settings_of(config)), "toml")


def _front_matter(contents: Contents, to: str) -> list[str]:
    """YAML, in which every JSON text is one."""
    name = contents.run.config.model
    values: dict[str, Any] = {"license": licence_of(name)}
    if on_hub := SMOLLM2 if name == "smollm2" else hub_name(name):
        values |= {
            "base_model": on_hub,
            "base_model_relation": "adapter" if to == "peft" else "finetune",
        }
    values |= {
        "library_name": LIBRARIES[to],
        "pipeline_tag": "text-generation",
        "tags": ["dpo-workbench", contents.run.method.name],
    }
    return [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def hub_name(name: str) -> str:
    """The name where it is one of the Hugging Face hub; else empty."""
    here = name == "tiny" or Path(name).expanduser().exists()
    return name if HUB_ID.fullmatch(name) and "/" in name and not here else ""


def licence_of(name: str) -> str:
    """As the hub names it; "unknown" where neither we nor the card beside a model tell."""
    if name in ("smollm2", SMOLLM2):
        return "apache-2.0"
    card = Path(name).expanduser() / "README.md"
    if card.is_file():
        front = FRONT_MATTER.match(card.read_text(encoding="utf-8", errors="replace"))
        if front and (found := LICENCE.search(front[1])):
            return found[1]
    return "unknown"


def _data(run: Run) -> list[str]:
    data, name = run.data, run.config.data
    lines = [
        f"- source: {_code(Path(name).name)}",
        f"- rows: {len(data.train)} to train on, {len(data.held_out)} held out, "
        f"{len(data.skipped)} unusable; {data.layout or 'made by the run'}",
        f"- SHA-256 of the token ids: `{run.data_hash}`",
    ]
    if (path := Path(name)).is_file():
        lines.insert(1, f"- SHA-256 of the file: `{file_digest(path)}`")
    return lines


def _metrics(run: Run) -> list[str]:
    found = [event for event in run.events if isinstance(event, EvalEvent)]
    if not found:
        return ["None were taken."]
    rows = [f"| {name} | {value:.4f} |" for name, value in found[-1].metrics.items()]
    return [f"At step {found[-1].step}:", "", "| metric | value |", "|---|---|", *rows]


def _code(text: str) -> str:
    """A name from outside as code, so that nothing in it is read as Markdown."""
    return "`" + re.sub(r"[`\s]+", " ", text) + "`"


def _fenced(text: str, language: str) -> list[str]:
    longest = max((len(ticks) for ticks in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text.rstrip(), fence]
