"""One run, one form, one folder: refused, written, checked, and only then there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data.cache import atomic_folder
from workbench.data.json_rows import write_json
from workbench.errors import WorkbenchError
from workbench.models.load import model_hash
from workbench.runs.export.certificate import Certificate, certify
from workbench.runs.export.contents import Contents
from workbench.runs.export.gguf_file import DTYPES, NAME, write_gguf
from workbench.runs.export.hf_folder import write_hf
from workbench.runs.export.model_card import model_card
from workbench.runs.export.peft_folder import base_of, write_peft
from workbench.runs.folder.config_file import naming, write_text
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.base_model import Progress


@dataclass(frozen=True)
class Request:
    """What is written where; `folder` is where it will be, `part` where it is written."""

    contents: Contents
    folder: Path
    part: Path
    dtype: str
    certificate: Certificate
    tell: Progress


def export_model(
    run: Run | Path | str,
    to: str,
    folder: Path | str,
    dtype: str = "f32",
    progress: Progress | None = None,
) -> Certificate:
    """Write the trained model of a run to a new folder and check that it is the same model.

    Args:
        run: as it is now, or its folder, which gives its newest checkpoint.
        to: a name in `FORMS`.
        folder: new, or empty; it appears when all is written and checked.
        dtype: of GGUF's matrices, f32, f16 or bf16.
        progress: called with what is being done and the share done.

    Raises:
        WorkbenchError: what can't be exported, or not to there; nothing is written then.
        CertificateError: what was written is not the trained model; it is deleted.
    """
    tell = progress or (lambda text, share: None)
    if to not in FORMS:
        raise WorkbenchError(f"to={to!r} is unknown; accepted: {', '.join(FORMS)}")
    if dtype not in DTYPES or (dtype != "f32" and to != "gguf"):
        accepted = ", ".join(DTYPES) if to == "gguf" else "f32"
        raise WorkbenchError(f"dtype={dtype!r} is not accepted for {to}: {accepted}")
    folder = Path(folder).expanduser().absolute()
    refuse_taken(folder)
    tell("loading", 0.0)
    contents = Contents(run if isinstance(run, Run) else load_run(run, tell))
    certificate = Certificate(
        to,
        str(folder),
        DTYPES[dtype],
        policy_hash=model_hash(contents.policy),
        reference_hash=contents.run.reference_hash,
    )
    with_folder(
        folder, lambda part: FORMS[to](Request(contents, folder, part, dtype, certificate, tell))
    )
    tell("done", 1.0)
    return certificate


def refuse_taken(folder: Path) -> None:
    """Raise for a folder that holds something, or can't be made."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if there == folder and not (folder.is_dir() and not any(folder.iterdir())):
        what = "holds files already" if folder.is_dir() else "is a file"
        raise WorkbenchError(f"folder={str(folder)!r} {what}; name a new or an empty folder")
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise WorkbenchError(f"folder={str(folder)!r} can't be made: {there} takes no new folder")


def with_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a folder beside this one, which takes its place when all is well."""

    def fill(part: Path) -> None:
        write(part)
        if folder.exists():  # empty; not every system replaces one
            folder.rmdir()

    with naming(folder):
        atomic_folder(folder, fill)


def _hf(request: Request) -> None:
    request.tell("writing the model", 0.2)
    write_hf(request.contents.merged, request.part)
    _finish(request, {"model": str(request.part), "tokenizer": str(request.part)})


def _peft(request: Request) -> None:
    request.tell("writing the adapters", 0.2)
    base = base_of(request.contents, request.part, request.folder)
    write_peft(request.contents, base.named, request.part)
    job = {"model": base.here, "adapters": str(request.part), "tokenizer": str(request.part)}
    request.certificate.notes += base.notes
    _finish(request, job)


def _gguf(request: Request) -> None:
    request.tell("writing the model", 0.2)
    model = request.contents.merged
    request.certificate.notes += write_gguf(model, request.part, request.dtype)
    request.certificate.notes.append(
        "not tried with llama.cpp itself, which is not part of the workbench"
    )
    stop = sorted(model.tokenizer.stop_ids)
    _finish(
        request,
        {"model": str(request.part), "tokenizer": str(request.part), "gguf": NAME, "stop": stop},
    )


def _finish(request: Request, job: dict[str, Any]) -> None:
    """Check what is written, then write down how it went."""
    request.tell("comparing the export with the policy", 0.5)
    found = certify(request.contents, request.contents.policy, job, request.certificate)
    write_text(request.part / "README.md", model_card(request.contents, found))
    write_json(request.part / "certificate.json", found.as_dict())


FORMS: dict[str, Callable[[Request], None]] = {"hf": _hf, "peft": _peft, "gguf": _gguf}
