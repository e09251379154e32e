"""The models and runs that the views of this folder are given, and how loading is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from IPython import get_ipython

from workbench.compare.handle_sources import Source, is_run, open_handles
from workbench.compare.model_handles import ModelHandle
from workbench.errors import WorkbenchError
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.view.controls.progress import ProgressLine

Sources: TypeAlias = Source | Sequence[ModelHandle] | Mapping[str, Source]


def progress_of(progress: Progress | None) -> Progress:
    """The one given; left out, a line below the cell in a notebook, and nothing elsewhere."""
    return progress or (ProgressLine() if get_ipython() else lambda text, share: None)


def opened(source: Sources, progress: Progress) -> Sources:
    """The run in a folder, with its data and settings; any other source as it is."""
    return (
        load_run(source, progress) if isinstance(source, str | Path) and is_run(source) else source
    )


def reference_and_policy(source: Sources) -> tuple[ModelHandle, ModelHandle]:
    """The two models of a source.

    Raises:
        WorkbenchError: one model alone, or more than two.
    """
    found = open_handles(source)
    if len(found) != 2:
        names = ", ".join(handle.name for handle in found)
        raise WorkbenchError(f"{names}: two are compared here, a reference and a policy")
    return found[0], found[1]


def state_of(source: Sources) -> object:
    """What changes when a run goes on: a key of caches, so that nothing old is shown."""
    if not isinstance(source, Run):
        return None
    return source.step, tuple(sorted(source.settings.items()))
