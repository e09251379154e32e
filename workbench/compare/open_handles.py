"""From runs, folders of runs and names of models to the models that are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from workbench.compare.model_handles import ModelHandle
from workbench.errors import WorkbenchError
from workbench.runs.prepare import open_model
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.precision import pick_device, pick_precision, set_threads


def handles(run: Run) -> tuple[ModelHandle, ModelHandle]:
    """Reference and policy of a run, as they are now."""
    config, reference = run.config, run.reference
    apart = reference.model is not run.policy
    policy = ModelHandle(
        "policy", run.policy, run.tokenizer, config.device, config.precision, own_model=apart
    )
    # With adapters the reference is a policy: this run's, or that of the one it branched off.
    asked = replace(
        policy,
        name="reference",
        model=reference.model,
        around=reference.active,
        own_model=not config.lora,
    )
    return asked, replace(policy, amateur=asked)


Source: TypeAlias = Run | ModelHandle | Path | str


def open_handles(
    what: Source | Sequence[ModelHandle] | Mapping[str, Source], progress: Progress | None = None
) -> tuple[ModelHandle, ...]:
    """All who are to be compared; the first is the one whom the others are compared with.

    Args:
        what: a run or the folder of one, which gives its reference and its policy; models; or
            names for runs (their policies), folders of runs, models and models, in any mixture.
        progress: told what is being loaded.

    Raises:
        WorkbenchError: a name that is neither a run's folder nor a model, or is given twice.
    """
    if isinstance(what, Run):
        return handles(what)
    if isinstance(what, str | Path):
        return handles(load_run(what, progress)) if is_run(what) else (_model(what, progress),)
    if isinstance(what, Mapping):
        found = tuple(replace(_one(source, progress), name=name) for name, source in what.items())
    else:
        found = (what,) if isinstance(what, ModelHandle) else tuple(what)
    names = [handle.name for handle in found]
    if not found or len(set(names)) < len(names):
        raise WorkbenchError(f"models={names} is not accepted: one or more, each name once")
    first, *others = found
    return (first, *(replace(one, amateur=one.amateur or first) for one in others))


def _one(source: Source, progress: Progress | None) -> ModelHandle:
    """The policy, where there is a reference as well."""
    return open_handles(source, progress)[-1]


def is_run(source: str | Path) -> bool:
    """Whether there is a recorded run in this folder."""
    return (Path(source) / "config.toml").exists()


def _model(source: str | Path, progress: Progress | None) -> ModelHandle:
    """A model without any run, where and in which number format it is computed best."""
    model = open_model(TrainConfig(model=str(source)), progress)
    device = pick_device("auto")
    precision = pick_precision("auto", device, model.policy.to(device))
    set_threads(model.policy)
    return ModelHandle(model.name, model.policy, model.tokenizer, device, precision, own_model=True)
