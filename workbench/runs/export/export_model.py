"""One run, one form, one folder: refused, written, checked, and only then there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.policy import Policy
from workbench.data.cache import atomic_folder
from workbench.data.json_rows import write_json
from workbench.errors import WorkbenchError
from workbench.models.load import model_hash
from workbench.paths import folder_to_write
from workbench.runs.export.certificate import Certificate, certify
from workbench.runs.export.contents import Contents
from workbench.runs.export.gguf_file import DTYPES, NAME, check_gguf, write_gguf
from workbench.runs.export.hf_folder import write_hf
from workbench.runs.export.model_card import model_card
from workbench.runs.export.peft_folder import base_of, write_peft
from workbench.runs.export.trl_folder import certify_losses, equivalent_of, write_trl
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
    losses: int
    certificate: Certificate
    tell: Progress

    def certify(self, job: dict[str, Any], policy: Policy | None = None) -> None:
        """Compare what `job` names with a policy, by default the trained one."""
        self.tell("comparing the export with the policy", 0.5)
        certify(self.contents, policy or self.contents.policy, job, self.certificate)


def export_model(
    run: Run | Path | str,
    to: str,
    folder: Path | str,
    dtype: str = "f32",
    losses: int = 100,
    progress: Progress | None = None,
) -> Certificate:
    """Write the trained model of a run to a new folder and check that it is the same model.

    Args:
        run: as it is now, or its folder, which gives its newest checkpoint.
        to: a name in `FORMS`.
        folder: new, or empty; it appears when all is written and checked.
        dtype: of GGUF's matrices, f32, f16 or bf16.
        losses: steps that TRL takes to compare its losses with the run's; 0: none.
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
    place = empty_folder(folder)
    tell("loading", 0.0)
    contents = Contents(run if isinstance(run, Run) else load_run(run, tell))
    certificate = Certificate(
        to,
        str(place),
        DTYPES[dtype],
        policy_hash=model_hash(contents.policy),
        reference_hash=contents.run.reference_hash,
    )
    FORMS[to].check(contents)
    if contents.policy is not contents.run.policy:
        certificate.notes.append("the value head, which only training needs, is not exported")

    def write(part: Path) -> None:
        tell(f"writing {to}", 0.2)
        FORMS[to].write(Request(contents, place, part, dtype, losses, certificate, tell))
        write_text(part / "README.md", model_card(contents, certificate))
        write_json(part / "certificate.json", certificate.as_dict())

    with_folder(place, write)
    tell("done", 1.0)
    return certificate


def empty_folder(folder: Path | str) -> Path:
    """The place of a folder that is new or empty. Raises WorkbenchError for any other."""
    place = folder_to_write(Path(folder), "folder")
    if place.exists() and any(place.iterdir()):
        raise WorkbenchError(
            f"folder={str(place)!r} holds files already; name a new or an empty folder"
        )
    return place


def with_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a folder beside this one, which takes its place when all is well."""

    def fill(part: Path) -> None:
        write(part)
        if folder.exists():  # empty; not every system replaces one
            folder.rmdir()

    with naming(folder):
        atomic_folder(folder, fill)


def _write_hf(request: Request) -> None:
    files = str(request.part)
    write_hf(request.contents.merged, request.part)
    request.certify({"model": files, "tokenizer": files})


def _check_peft(contents: Contents) -> None:
    if not contents.adapted:
        raise WorkbenchError(
            "this run trains all weights and has no adapters (lora=0); accepted: hf, which exports "
            "the whole model"
        )


def _write_peft(request: Request) -> None:
    contents, files = request.contents, str(request.part)
    base = base_of(contents, request.part, request.folder)
    write_peft(contents.model, base.named, request.part)
    request.certificate.notes.append(base.note)
    request.certify({"model": base.here, "adapters": files, "tokenizer": files})


def _check_gguf(contents: Contents) -> None:
    if contents.policy.checkpoint_format == "transformers":  # our own decoder is a plain Llama
        check_gguf(contents.policy.model.config.to_dict())  # type: ignore[union-attr,operator]


def _write_gguf(request: Request) -> None:
    model, files = request.contents.merged, str(request.part)
    request.certificate.notes += [
        *write_gguf(model, request.part, request.dtype),
        "not tried with llama.cpp itself, which is not part of the workbench",
    ]
    stop = sorted(model.tokenizer.stop_ids)
    request.certify({"model": files, "tokenizer": files, "gguf": NAME, "stop": stop})


def _write_trl(request: Request) -> None:
    contents, files = request.contents, str(request.part / "model")
    start = write_trl(contents, request.part)
    request.certify({"model": files, "tokenizer": files}, start.policy)
    request.tell("comparing the losses of TRL", 0.7)
    certify_losses(contents, request.part, request.losses, request.certificate)


@dataclass(frozen=True)
class Form:
    """A form: `check` raises for a run that it can't hold, `write` writes and certifies it."""

    check: Callable[[Contents], object]
    write: Callable[[Request], None]


FORMS = {
    "hf": Form(lambda contents: None, _write_hf),
    "peft": Form(_check_peft, _write_peft),
    "gguf": Form(_check_gguf, _write_gguf),
    "trl": Form(equivalent_of, _write_trl),
}
