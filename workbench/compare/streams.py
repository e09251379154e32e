"""Several models write in turns, a token at a time, so that panes fill side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.compare.model_handles import ModelHandle
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig


def check_contrast(asked: Sequence[ModelHandle], sampling: SamplingConfig) -> None:
    """Refuse contrastive decoding where nobody who is asked has an amateur to compare with."""
    if sampling.contrast_alpha and all(handle.amateur is None for handle in asked):
        raise WorkbenchError(
            f"contrast_alpha={sampling.contrast_alpha:g} needs somebody to compare with; open two "
            "models, or set it to 0"
        )


def stream_together(
    asked: Sequence[ModelHandle], prompts: Sequence[str], sampling: SamplingConfig
) -> Iterator[tuple[list[str], ...]]:
    """Yield, after a step of each model, what all have written so far: one list of texts each.

    Who has finished stays as it is while the others go on. The last texts are those of `answer`.
    """
    check_contrast(asked, sampling)
    streams = [handle.stream(prompts, sampling) for handle in asked]
    texts: list[list[str]] = [[""] * len(prompts) for _ in asked]
    going = set(range(len(streams)))
    while going:
        for number in sorted(going):
            step = next(streams[number], None)
            if step is None:
                going.remove(number)
            else:
                texts[number] = step
        if going:
            yield tuple(texts)
