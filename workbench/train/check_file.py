"""A file of pairs looked through for a model that is named."""

from __future__ import annotations

from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source
from workbench.data.preflight import Report, preflight
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.models.load import load_model
from workbench.train.base_model import BaseConfig, new_model


def check_file(
    source: Source,
    model: str,
    max_length: int | None = None,
    reading: Reading | str | None = None,
    allow_special: bool = False,
) -> Report:
    """`preflight` with the tokenizer and the context of a model.

    Args:
        source, reading: as `read_pairs` takes them.
        model: "tiny", whose weights do not count here, "smollm2", a folder, an id.
        max_length: of a row, in tokens; left out: what the model takes.
        allow_special: names of special tokens inside texts are read as those tokens.

    Raises:
        WorkbenchError: the file cannot be used, there is no such model, or it takes less.
    """
    tiny = model == "tiny"
    found = new_model(Reviews(ReviewsConfig()), BaseConfig()) if tiny else load_model(model)
    longest = max_length or found.max_length
    if longest > found.max_length:
        raise WorkbenchError(
            f"max_length={longest} is not accepted: {model} takes up to {found.max_length}"
        )
    tokenizer = found.tokenizer.allowing_special() if allow_special else found.tokenizer
    return preflight(source, tokenizer, longest, reading)
