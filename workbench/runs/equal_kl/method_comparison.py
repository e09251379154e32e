"""`compare_methods`: which method gives more at an equal distance from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.losses import LOSSES, find_loss
from workbench.errors import WorkbenchError
from workbench.runs.equal_kl.intervals import paired_differences, rank, t_interval
from workbench.runs.equal_kl.planned_runs import plan, read_rows
from workbench.runs.equal_kl.readings import KL, farthest, read_method
from workbench.runs.equal_kl.side_by_side import default_processes, train_missing
from workbench.runs.folder.config_file import write_text
from workbench.runs.prepare import open_model
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.method import find_method

METHODS = ("dpo", "ipo", "hinge", "kto", "orpo", "simpo")
CSV = "methods.csv"
GRID = 25  # points of a curve


@dataclass(frozen=True)
class Ranking:
    """Methods at one value of an axis.

    Attributes:
        along, at: the axis, and the value at which they are read.
        measured: what is ranked; more is better, except of "kl".
        table: one row per method, the best first: `loss`; `strength` and its best `value`; `mean`
            over seeds with its 95% interval `low` to `high`; `best_rank` and `worst_rank`, alike
            where it is told apart from all others; `not_told_apart`, from which others it isn't;
            `reaches`, the farthest along the axis that all seeds of a strength reach. Where that
            is below `at`, all other numbers are missing.
        differences: of every two methods that reach it, see `paired_differences`.
    """

    along: str
    at: float
    measured: str
    table: pd.DataFrame
    differences: pd.DataFrame


@dataclass(frozen=True)
class MethodComparison:
    """The result of `compare_methods`.

    Attributes:
        frame: one row per run and evaluation.
        quality: "reward" where the true reward is known, else "accuracy".
    """

    frame: pd.DataFrame
    quality: str

    def at_kl(self, kl: float | None = None) -> Ranking:
        """The quality of every method at this KL in nats; left out: the largest that all reach."""
        return self._rank(KL, self.quality, kl)

    def at_quality(self, quality: float | None = None) -> Ranking:
        """The KL that every method needs for this quality; left out: the highest that all reach."""
        return self._rank(self.quality, KL, quality)

    def curves(self) -> pd.DataFrame:
        """`loss`, `kl`, and `mean`, `low`, `high` of the quality, as far as each method reaches.

        Every point is what `at_kl` gives at this KL.
        """
        rows = []
        for loss, own in self.frame.groupby("loss", sort=False):
            # Even steps of the root of the KL, 0 and the farthest among them.
            for at in max(0.0, farthest(own, KL)) * np.linspace(0.0, 1.0, GRID) ** 2:
                if reading := read_method(own, KL, self.quality, at):
                    rows.append((loss, at, *t_interval(reading.values)))
        return pd.DataFrame(rows, columns=["loss", KL, "mean", "low", "high"])

    def _rank(self, along: str, measured: str, at: float | None) -> Ranking:
        methods = {str(loss): own for loss, own in self.frame.groupby("loss", sort=False)}
        reaches = {loss: farthest(own, along) for loss, own in methods.items()}
        if at is None:
            at = min(reaches.values())
        if along == KL:
            at = max(at, 0.0)
        readings = {loss: read_method(own, along, measured, at) for loss, own in methods.items()}
        known = {loss: one.values for loss, one in readings.items() if one is not None}
        differences = paired_differences(known, higher=measured != KL)
        rows = []
        for loss, reading in readings.items():
            row = {"loss": loss, "strength": find_loss(loss).strength, "reaches": reaches[loss]}
            if reading is not None:
                mean, low, high = t_interval(reading.values)
                best, worst, others = rank(differences, loss, len(known))
                row |= {
                    "value": reading.strength, "mean": mean, "low": low, "high": high,
                    "best_rank": best, "worst_rank": worst, "not_told_apart": ", ".join(others),
                }  # fmt: skip
            rows.append(row)
        table = pd.DataFrame(rows, columns=TABLE).sort_values(
            "mean", ascending=measured == KL, ignore_index=True
        )
        return Ranking(along, at, measured, table, differences)


TABLE = [
    "loss", "strength", "value", "mean", "low", "high", "best_rank", "worst_rank",
    "not_told_apart", "reaches",
]  # fmt: skip


def compare_methods(
    config: TrainConfig,
    methods: Sequence[str] = METHODS,
    seeds: Sequence[int] = range(5),
    strengths: Mapping[str, Sequence[float]] | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> MethodComparison:
    """Train every method at several strengths and seeds on the same pairs, and compare them.

    Model, pairs, learning rate and number of steps are the same for all. Every evaluation measures
    the KL to the start model on answers to held-out prompts, also of methods that need no
    reference, and the true reward of the answers, counted as 0 where they do not parse, or, where
    none is known, the accuracy of the implicit log-ratio on held-out pairs.

    Args:
        config: what all runs have in common. With `out` the rows of each finished run are kept
            there, an interrupted comparison goes on with the runs that are missing, and all rows
            together are written to `methods.csv`.
        methods: names of losses; the training method follows from each.
        seeds: two or more. They change the order of the data, the sampled answers and the split,
            where groups leave a choice; not the pairs. The intervals are about these alone.
        strengths: name of a loss -> values of its strength, instead of `Loss.strengths`.
        processes: how many train side by side; left out: one per core for a small model, else one.
        progress: called with what is being done and the share done, 0 to 1.

    Raises:
        WorkbenchError: before anything is trained: an unknown method, a value out of range, fewer
            than two seeds, or a setting that the comparison sets itself.
    """
    grid = _strengths(methods, strengths or {})
    _check(config, grid, seeds, processes)
    tell = progress or (lambda text, share: None)
    runs = plan(config, methods, seeds, grid)
    temporary = TemporaryDirectory() if config.out is None else nullcontext(config.out)
    with temporary as out:
        folder = Path(out) / "runs"
        there = [run for run in runs if (folder / run.file).exists()]
        for run in there:
            read_rows(run, folder)  # what is no use is told before anything is trained
        if len(there) < len(runs):
            model = open_model(config, tell)
            for name in methods:
                if not find_method(find_loss(name).method).trained(model.policy).generates:
                    raise WorkbenchError(f"methods: {name} trains no model that writes texts")
            count = processes or default_processes(config, model)
            del model
            train_missing(runs, config, folder, count, tell)
        frame = pd.DataFrame([row for run in runs for row in read_rows(run, folder)])
    frame = frame.astype({"value": float})  # missing where a loss has no strength
    if config.out is not None:
        write_text(Path(config.out) / CSV, frame.to_csv(index=False))
    known = frame["reward"].notna().all()
    return MethodComparison(frame, "reward" if known else "accuracy")


def recorded_comparison() -> MethodComparison:
    """Six methods with five seeds, compared once in the reviews world: `python run.py methods`."""
    frame = pd.read_csv(Path(__file__).with_name("six_methods.csv"))
    return MethodComparison(frame, "reward")


def _strengths(
    methods: Sequence[str], given: Mapping[str, Sequence[float]]
) -> dict[str, tuple[float, ...]]:
    """The values of every method's strength, those `given` or its own small grid."""
    if isinstance(methods, str) or not methods or len(set(methods)) < len(methods):
        raise WorkbenchError(
            f"methods={methods!r} is not accepted: a list of different losses, of "
            + ", ".join(LOSSES)
        )
    grid = {name: tuple(given.get(name, find_loss(name).strengths)) for name in methods}
    for name in given:
        if name not in grid:
            raise WorkbenchError(f"strengths name {name!r}; accepted: {', '.join(methods)}")
        if find_loss(name).strength is None:
            raise WorkbenchError(f"strengths[{name!r}] is not accepted: {name} has no strength")
        values = grid[name]
        if not values or len(set(values)) < len(values):
            raise WorkbenchError(
                f"strengths[{name!r}]={values!r} is not accepted: a list of different values"
            )
    return grid


def _check(
    config: TrainConfig, grid: Mapping[str, Any], seeds: Sequence[int], processes: int | None
) -> None:
    """Refuse settings that a comparison can't use, or sets itself."""
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise WorkbenchError(
            f"seeds={list(seeds)} is not accepted: two or more different ones, for an interval"
        )
    if processes is not None and processes < 1:
        raise WorkbenchError(f"processes={processes} is not accepted: a whole number from 1")
    own = ["loss", "method", *filter(None, (find_loss(name).strength for name in grid))]
    for name in dict.fromkeys(own):
        if getattr(config, name) is not None:
            raise WorkbenchError(
                f"{name}={getattr(config, name)!r} is not accepted: a comparison sets it itself"
            )
    filled = config.resolved()
    if not filled.samples:
        raise WorkbenchError("samples=0 is not accepted: the KL is measured on sampled answers")
    if not filled.held_out and config.data != "reviews":
        raise WorkbenchError("held_out=0 is not accepted: accuracy is measured on held-out pairs")
