"""What TRL needs to train as a run did: the model that it started from, its rows in the order of
its batches, its settings under TRL's names, and a script. It starts where the run started."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

from workbench.core.batch import Completion, Pair
from workbench.data.json_rows import write_json
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.models.lora import add_lora
from workbench.runs.export.certificate import TEMPLATES, Certificate, CertificateError, run_alone
from workbench.runs.export.contents import Contents
from workbench.runs.export.hf_folder import write_hf
from workbench.runs.export.peft_folder import write_peft
from workbench.runs.export.trl_settings import Equivalent, equivalent
from workbench.runs.folder.config_file import write_text
from workbench.train.batches import Counted
from workbench.train.events import ChangeEvent, StepEvent

SCRIPT = "train.py"
CLOSE = 1e-3  # of a loss, from the same weights on in float32
ALONE = ("kto", "sft")  # methods whose mean over a step is none of means over its parts


def equivalent_of(contents: Contents) -> Equivalent:
    """What of TRL trains as the run did. Raises WorkbenchError where nothing does."""
    run = contents.run
    if run.method.rollouts:
        raise WorkbenchError(
            f"method {run.method.name} trains on what the policy writes, which TRL would write "
            "otherwise; accepted: methods that train on given rows"
        )
    found = equivalent(run.config)
    marked = ("chosen_scored", "rejected_scored", "scored")
    masked = any(getattr(item, name, ()) for item in run.data.train for name in marked)
    if masked and found.trainer != "SFT":
        raise WorkbenchError(
            f"turns={run.config.turns!r} scores several turns of a conversation, for which TRL's "
            f"{found.trainer}Trainer has no mask; accepted: last"
        )
    return found


def write_trl(contents: Contents, part: Path) -> Model:
    """Write all but the certificate; returns the model that training starts from."""
    run, start, found = contents.run, contents.base, equivalent_of(contents)
    write_hf(start, part / "model")
    if contents.adapted:
        add_lora(start.policy, run.config.lora, seed=run.config.seed)
        write_peft(start, "model", part / "adapters")
    batches, accumulate = _batches(contents)
    texts = [run.method.columns(text) for text in run.data.train_texts]
    lines = [
        json.dumps(_row(item, found.trainer) | {"texts": text}, ensure_ascii=False) + "\n"
        for item, text in zip(run.data.train, texts, strict=True)
    ]
    write_text(part / "data" / "train.jsonl", "".join(lines))
    write_text(part / "data" / "batches.json", json.dumps(batches))
    arguments = found.arguments | {
        "per_device_train_batch_size": max(map(len, batches)),
        "gradient_accumulation_steps": accumulate,
    }
    config = {
        "trainer": found.trainer,
        "steps": run.total,
        "warmup": run.config.warmup or 0,
        "schedule": run.config.schedule,
        "arguments": arguments,
    }
    write_json(part / "config.json", config)
    shutil.copyfile(TEMPLATES / SCRIPT, part / SCRIPT)
    return start


def _batches(contents: Contents) -> tuple[list[list[int]], int]:
    """The rows of each forward pass, and how many passes make a step.

    TRL takes the mean of means: where the passes of the steps are not alike, a step is one pass.
    """
    run, source = contents.run, contents.run._batches
    assert isinstance(source, Counted)
    steps = [[b.index.tolist() for b in source.at(n)] for n in range(run.total)]  # type: ignore[union-attr]
    sizes = {tuple(map(len, step)) for step in steps}
    alike = len(sizes) == 1 and len(set(next(iter(sizes)))) == 1
    if alike and run.method.name not in ALONE and not run.method.loss(run.settings).needs_step:
        return [rows for step in steps for rows in step], len(steps[0])
    return [[row for rows in step for row in rows] for step in steps], 1


def _row(item: Any, trainer: str) -> dict[str, Any]:
    """The columns that a trainer makes of a row itself."""
    if isinstance(item, Pair):
        if trainer == "DPO":
            sides = {"chosen_ids": list(item.chosen), "rejected_ids": list(item.rejected)}
            return {"prompt_ids": list(item.prompt), **sides}
        return _labelled("chosen", item.prompt, item.chosen) | _labelled(
            "rejected", item.prompt, item.rejected
        )
    assert isinstance(item, Completion)
    prompt, completion = list(item.prompt), list(item.completion)
    if trainer == "KTO":
        return {
            "prompt_ids": prompt,
            "completion_ids": completion,
            "KL_completion_ids": list(item.mismatched),
            "label": item.label,
        }
    scored = [int(mark) for mark in item.scored or [True] * len(completion)]
    ids, mask = prompt + completion, [0] * len(prompt) + scored
    labels = [token if mark else -100 for token, mark in zip(ids, mask, strict=True)]
    return {"input_ids": ids, "labels": labels}


def _labelled(side: str, prompt: tuple[int, ...], completion: tuple[int, ...]) -> dict[str, Any]:
    ids = [*prompt, *completion]
    return {
        f"{side}_input_ids": ids,
        f"{side}_attention_mask": [1] * len(ids),
        f"{side}_labels": [-100] * len(prompt) + list(completion),
    }


def certify_losses(contents: Contents, part: Path, steps: int, certificate: Certificate) -> None:
    """Let the script take its first steps, and compare its losses with those of the run.

    Raises:
        CertificateError: it fails, or a loss is not the run's.
    """
    run, found = contents.run, equivalent_of(contents)
    before = takewhile(lambda event: not isinstance(event, ChangeEvent), run.events)
    ours = [event.metrics["loss"] for event in before if isinstance(event, StepEvent)][:steps]
    certificate.notes += [f"TRL's loss is not the same: {reason}" for reason in found.differs]
    if any(isinstance(event, ChangeEvent) for event in run.events):
        certificate.notes.append(
            "settings were changed while the run went on: TRL's keep those that it began with"
        )
    if not ours or find_spec("trl") is None:
        why = "TRL is not installed" if ours else "the run has no loss to compare, or none is asked"
        certificate.notes.append(f"losses of TRL not compared: {why}")
        return
    asked = ("--cpu", "--steps", str(len(ours)), "--losses")
    theirs = run_alone(part / SCRIPT, *asked)
    shutil.rmtree(part / "trained", ignore_errors=True)
    largest = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    certificate.losses = {"steps": len(ours), "largest": largest, "ours": ours, "trl": theirs}
    certificate.versions["trl"] = version("trl")
    held = not found.differs
    accepted = f"accepted {CLOSE:g}" if held else "not held to anything, see the notes"
    line = f"first {len(ours)} losses of TRL differ by {largest:.1e} at most ({accepted})"
    certificate.line += f"; {line}"
    if held and not largest <= CLOSE:
        raise CertificateError(
            f"the export to trl does not train as the run did, it is deleted: {line}"
        )
