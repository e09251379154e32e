"""A run in any form that it can be exported to: models by `runs.export`, answers from here."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from workbench.compare.answers import answers_frame
from workbench.compare.comparator.comparator_file import read_comparator, write_comparator
from workbench.compare.handle_sources import handles
from workbench.compare.judging.judges import Judge, People
from workbench.compare.judging.winners import JUDGED, judged
from workbench.data.json_rows import write_json
from workbench.errors import WorkbenchError
from workbench.runs.export.certificate import Certificate, CertificateError
from workbench.runs.export.export_model import FORMS, empty_folder, export_model, with_folder
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.base_model import Progress

COMPARATOR = "comparator"
FILE = "comparator.json"


def export(
    run: Run | Path | str,
    to: str,
    folder: Path | str,
    dtype: str = "f32",
    losses: int = 100,
    votes: pd.DataFrame | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """Write a run to a new folder in the form of another tool, with a certificate.

    Args:
        run: as it is now, or its folder, which gives its newest checkpoint.
        to: hf (transformers), peft (adapters apart), gguf (llama.cpp and others), trl (data and
            script to train with TRL), comparator (answers for the LLM Comparator).
        folder: new, or empty; it appears when all is written and checked.
        dtype: of the matrices in GGUF: f32, f16 or bf16.
        losses: steps that TRL takes to compare its losses with the run's; 0: none.
        votes: for comparator: people's votes on these answers, columns prompt, a, b and vote.
        progress: called with what is being done and the share done.

    Raises:
        WorkbenchError: what can't be exported, or not to there; nothing is written then. Or what
            was written is not the trained model; it is deleted.
    """
    if to != COMPARATOR:
        if to not in FORMS:
            raise WorkbenchError(
                f"to={to!r} is unknown; accepted: {', '.join([*FORMS, COMPARATOR])}"
            )
        if votes is not None:
            raise WorkbenchError(f"votes are not accepted for {to}; accepted for {COMPARATOR}")
        return export_model(run, to, folder, dtype, losses, progress)
    if dtype != "f32":
        raise WorkbenchError(f"dtype={dtype!r} is not accepted for {to}: it holds no weights")
    tell = progress or (lambda text, share: None)
    place = empty_folder(folder)
    name = run.name if isinstance(run, Run) else Path(run).absolute().name
    loaded = run if isinstance(run, Run) else load_run(run, tell)
    reference, policy = handles(loaded)
    judges: list[Judge] = [] if votes is None else [People(votes)]
    asked = loaded.prompts
    frame = judged(
        answers_frame([reference, policy], asked, loaded.shown_sampling, loaded.data.scores, tell),
        judges,
    )
    found = Certificate(to, str(place), rows=f"{len(asked)} held-out prompts")

    def write(part: Path) -> None:
        source = f"{name}, step {loaded.step}"
        write_comparator(frame, part / FILE, policy.name, reference.name, source)
        _certify(frame, read_comparator(part / FILE), found)
        write_json(part / "certificate.json", found.as_dict())

    with_folder(place, write)
    return found


def _certify(written: pd.DataFrame, read: pd.DataFrame, found: Certificate) -> None:
    """That the file gives back the answers and the verdicts."""
    judges = [column for column in written if column.startswith(JUDGED)]
    columns = ["prompt", "text", *judges]  # a judge without any verdict is not in the file
    one, other = (
        frame.set_index(["place", "who"]).reindex(columns=columns).sort_index()
        for frame in (written, read)
    )
    if not one.equals(other.astype(one.dtypes)):
        raise CertificateError("the file does not give back the answers; it is deleted")
    names = ", ".join(judge.removeprefix(JUDGED) for judge in judges) or "none"
    found.texts = len(one)
    found.line = (
        f"{len(one)} answers to {found.rows} and {int(one[judges].count().sum())} verdicts read "
        f"back as they were written; judges: {names}"
    )
