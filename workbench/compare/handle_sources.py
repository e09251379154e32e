"""From runs, folders of runs and names of models to the handles that are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from workbench.compare.model_handles import ModelHandle
from workbench.core.fast.gpu.gpu_kernels import kernels_for
from workbench.errors import WorkbenchError
from workbench.paths import given_path
from workbench.runs.prepare import open_model
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.precision import pick_device, pick_precision, set_threads


def handles(run: Run) -> tuple[ModelHandle, ModelHandle]:
    """Reference and policy of a run, as they are now.

    Raises:
        WorkbenchError: its method trains no model that generates texts.
    """
    if not run.policy.generates:
        raise WorkbenchError(
            f"a run of method {run.method.name} has no model that generates texts; accepted here: "
            "runs of a method that trains a language model"
        )
    config = run.config
    separate = run.reference.model is not run.policy
    policy = ModelHandle(
        "policy", run.policy, run.tokenizer, config.device, config.precision, own_model=separate
    )
    # With adapters the reference's model is a policy: this run's, or that of its parent run.
    reference = replace(
        policy,
        name="reference",
        model=run.reference.model,
        around=run.reference.active,
        own_model=not config.lora,
    )
    return reference, replace(policy, amateur=reference)


Source: TypeAlias = Run | ModelHandle | Path | str


def open_handles(
    what: Source | Sequence[ModelHandle] | Mapping[str, Source], progress: Progress | None = None
) -> tuple[ModelHandle, ...]:
    """The models to compare; the first is the one that the others are compared with.

    Args:
        what: a run or its folder, which gives its reference and its policy; the name of a model;
            handles; or a mapping from a name to any of these, of a run its policy.
        progress: called with what is being loaded.

    Raises:
        WorkbenchError: a name that is neither a run's folder nor a model, or is given twice.
    """
    if isinstance(what, Run):
        return handles(what)
    if isinstance(what, str | Path):
        return handles(load_run(what, progress)) if is_run(what) else (_model(what, progress),)
    if isinstance(what, Mapping):
        # The last handle of a source is its model, or the policy of a run.
        return _compared_with_first(
            [replace(open_handles(one, progress)[-1], name=name) for name, one in what.items()]
        )
    return _compared_with_first([what] if isinstance(what, ModelHandle) else what)


def _compared_with_first(models: Sequence[ModelHandle]) -> tuple[ModelHandle, ...]:
    """The models, each with an amateur: its own, else the first model."""
    names = [handle.name for handle in models]
    if not names or len(set(names)) < len(names):
        raise WorkbenchError(f"models={names} is not accepted: one or more, each name once")
    first, *others = models
    return (first, *(replace(other, amateur=other.amateur or first) for other in others))


def run_handles(
    runs: Run | Path | str | Sequence[Run | Path | str],
    progress: Progress | None = None,
    step: int | None = None,
) -> tuple[list[ModelHandle], list[Run]]:
    """The first run's reference and the policies of all runs, named apart; and the runs.

    Args:
        runs: as they are now, or their folders; one or several.
        progress: called with what is being loaded.
        step: of the checkpoint of each folder; left out: the newest.

    Raises:
        WorkbenchError: no run, or a folder without one.
    """
    if not runs:
        raise WorkbenchError("runs is empty; at least one is needed")
    runs = [runs] if isinstance(runs, Run | Path | str) else runs
    loaded = [run if isinstance(run, Run) else load_run(run, progress, step) for run in runs]
    reference, *policies = handles(loaded[0])[0], *(handles(run)[1] for run in loaded)
    if len(loaded) > 1:
        names = [run.name if isinstance(run, Run) else Path(run).absolute().name for run in runs]
        again = [names[:number].count(name) + 1 for number, name in enumerate(names)]
        titles = [f"{n} ({k})" if k > 1 else n for n, k in zip(names, again, strict=True)]
        policies = [
            replace(policy, name=title) for policy, title in zip(policies, titles, strict=True)
        ]
    # A prompt of several turns, or with a system message, is asked as it is in the run that has it.
    known = {prompt: ids for run in reversed(loaded) for prompt, ids in run.tokenizer.known.items()}
    asked = [replace(one, tokenizer=one.tokenizer.knowing(known)) for one in (reference, *policies)]
    return asked if known else [reference, *policies], loaded


def is_run(source: str | Path) -> bool:
    """Whether there is a recorded run in this folder."""
    return (given_path(source) / "config.toml").exists()


def _model(source: str | Path, progress: Progress | None) -> ModelHandle:
    """A model outside of a run, on the fastest device and in its best number format."""
    model = open_model(TrainConfig(model=str(source)), progress)
    device = pick_device("auto")
    precision = pick_precision("auto", device, model.policy.to(device))
    set_threads(model.policy)
    model.policy.kernels = kernels_for("fast", model.policy, device)
    return ModelHandle(model.name, model.policy, model.tokenizer, device, precision, own_model=True)
