"""Several models generate in turns, one token each, so that their texts grow side by side."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from workbench.compare.model_handles import ModelHandle
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig


def check_contrast(models: Sequence[ModelHandle], sampling: SamplingConfig) -> None:
    """Raise WorkbenchError for contrastive decoding where no model has an amateur."""
    if sampling.contrast_alpha and all(handle.amateur is None for handle in models):
        raise WorkbenchError(
            f"contrast_alpha={sampling.contrast_alpha:g} needs a model to compare with; open two "
            "models, or set it to 0"
        )


def stream_together(
    models: Sequence[ModelHandle], prompts: Sequence[str], sampling: SamplingConfig
) -> Generator[tuple[list[str], ...], None, tuple[list[int], ...]]:
    """Yield, after one step of each model, the texts so far: one list per model.

    The texts of a finished model stay the same. The last texts are those of `answer`. In the end it
    returns, for each model, where its answers were cut off, see `ModelHandle.cut_at`.
    """
    check_contrast(models, sampling)
    streams = [handle.stream(prompts, sampling) for handle in models]
    texts: list[list[str]] = [[""] * len(prompts) for _ in models]
    cuts: list[list[int]] = [[] for _ in models]
    unfinished = set(range(len(streams)))
    while unfinished:
        for number in sorted(unfinished):
            try:
                texts[number] = next(streams[number])
            except StopIteration as end:
                cuts[number] = end.value or [0] * len(prompts)  # no word of them: none
                unfinished.remove(number)
        if unfinished:
            yield tuple(texts)
    return tuple(cuts)
