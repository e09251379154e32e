"""What the command `sweep` can be told: the flags of `train`, and what is swept by which means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.runs.study.config import StudyConfig
from workbench.train.config import TrainConfig, setting


@dataclass(frozen=True, kw_only=True)
class SweepCommand(StudyConfig, TrainConfig):
    """Train many runs that differ in some settings, and say which to take.

    Takes the flags of train as what all runs have in common. Each run is an ordinary run in a
    folder of its own. The same command goes on where it was interrupted, and started twice, on one
    machine or on several with one file system, the runs are shared out.
    """

    over: tuple[str, ...] = setting(
        (), "settings and their values, as beta=0.05,0.1 loss=dpo,ipo; a range for random and tpe, "
        "as lr=1e-6..1e-4",
    )  # fmt: skip
    preset: str | None = setting(None, "as in train; flags given beside it win")
    on: str = setting(
        "here", "where the runs are trained; ray: on a Ray cluster, or on one that is started for "
        "it on this machine; pip install 'dpo-workbench[scale]'", choices=("here", "ray"),
    )  # fmt: skip
    workers: int | None = setting(
        None, "with --on ray: runs side by side; left open: one per GPU, else one per core", 1, 4096
    )
    html: Path | None = setting(None, "write one self-contained page of all runs to this file")
    json: bool = setting(False, "print the tables as JSON")

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        StudyConfig.__post_init__(self)
        if self.workers is not None and self.on != "ray":
            raise WorkbenchError("workers is for --on ray; here, start the same command again")
