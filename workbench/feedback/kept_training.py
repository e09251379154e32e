"""Training that is kept: called again after a kill, it goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.models.load import Model, model_hash
from workbench.runs.folder.kept_runs import read_run
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig


def folder_for(config: TrainConfig, base: Model, parent: Path, name: str) -> Path:
    """Where the run of this model, these settings and the content of this data file is kept.

    Anything else has another folder, so that a run never goes on with something that has changed.
    """
    settings = {**asdict(config), "data": "", "out": ""}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(model_hash(base.policy).encode())
    digest.update(Path(config.data).read_bytes())
    return parent / f"{name}-{digest.hexdigest()[:12]}"


def open_kept(config: TrainConfig, base: Model, folder: Path, progress: Progress | None) -> Run:
    """The run in its folder: begun, gone on with from its newest checkpoint, or as it finished.

    Iterate it in any case. `base` is trained in place.

    Raises:
        WorkbenchError: it finished, and its last weights are damaged; or as `Run.resume` does.
    """
    if not (folder / "config.toml").exists():
        return Run.create(replace(config, out=str(folder)), progress, base)
    if read_run(folder).state != "finished":
        return Run.resume(folder, progress, base=base)
    run = load_run(folder, progress, base=base)
    if run.step < run.total:
        raise WorkbenchError(f"the last checkpoint in {folder} is damaged; delete the folder")
    return run
