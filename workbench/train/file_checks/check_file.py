"""A file of pairs looked through for a model that is named."""

from __future__ import annotations

from dataclasses import replace

from workbench.data.large.row_stream import first_rows
from workbench.data.layouts.columns import columns_of
from workbench.data.layouts.known_layouts import find_layout
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source, name_of, rows_of
from workbench.data.pairs import as_reading
from workbench.data.preflight import Report, examine
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.models.load import Model, load_model
from workbench.train.base_model import BaseConfig, Progress, new_model, tiny_base
from workbench.train.file_checks.model_pass import model_pass
from workbench.train.file_checks.other_kinds import other_kind

FIRST = 5000  # rows of a large source that are looked at


def model_to_read(name: str, progress: Progress | None = None) -> Model:
    """A model whose tokenizer and context count, not its weights: those of "tiny" are random."""
    if name == "tiny":
        return new_model(Reviews(ReviewsConfig()), BaseConfig())
    return load_model(name, progress)


def check_file(
    source: Source,
    model: str,
    max_length: int | None = None,
    reading: Reading | str | None = None,
    allow_special: bool = False,
    quick: bool = True,
) -> Report:
    """`preflight` with the tokenizer and the context of a model, and its pass over some pairs.

    Args:
        source, reading: as `read_pairs` takes them.
        model: "tiny", "smollm2", a folder, an id.
        max_length: of a row, in tokens; left out: what the model takes.
        allow_special: names of special tokens inside texts are read as those tokens.
        quick: leave out the model's pass, which takes seconds; see `model_pass`.

    Raises:
        WorkbenchError: the file cannot be used, there is no such model, or it takes less.
    """
    part = first_rows(source, FIRST)
    notes = () if part is None else (f"{name_of(part)}: it is too large to look through",)
    source = source if part is None else part
    found = tiny_base() if model == "tiny" and not quick else model_to_read(model)
    longest = max_length or found.max_length
    if longest > found.max_length:
        raise WorkbenchError(
            f"max_length={longest} is not accepted: {model} takes up to {found.max_length}"
        )
    tokenizer = found.tokenizer.allowing_special() if allow_special else found.tokenizer
    try:
        report, encoded = examine(source, tokenizer, longest, reading)
    except WorkbenchError:
        rows = rows_of(source, as_reading(reading).columns)
        kind = other_kind(columns_of(rows)) if find_layout(rows) is None else ""
        if not kind:
            raise
        raise WorkbenchError(f"{name_of(source)}: {kind}; only pairs are looked through") from None
    if quick or encoded is None:
        return replace(report, notes=notes)
    findings, numbers = model_pass(found, encoded.pairs, encoded.texts)
    return replace(report, findings=(*report.findings, *findings), notes=(*notes, numbers))
