"""The command `sweep`: train many runs, tell which to take."""

from __future__ import annotations

import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from workbench.cli.interrupts import stop_on_interrupt
from workbench.cli.sweep_settings import SweepCommand
from workbench.cli.terminal import console, progress, say, show_json
from workbench.paths import file_to_write
from workbench.runs.folder.config_file import write_text
from workbench.runs.study.axes import read_axes
from workbench.runs.study.config import PREFIX, StudyConfig
from workbench.runs.study.on_ray import import_ray, sweep_on_ray
from workbench.runs.study.study_sweep import Sweep
from workbench.runs.study.study_table import combinations_table, pareto_front, run_to_take
from workbench.train.config import TrainConfig

LISTED = 20  # combinations, and runs that failed, that are printed; the table has all of them


def sweep(command: SweepCommand) -> int:
    """Train what is left to do and print the table.

    The exit code is 130 where it was interrupted, 1 where every run failed.
    """
    page = None if command.html is None else file_to_write(command.html, "html")
    if command.on == "ray":
        import_ray()  # before the sweep's folder is made
    config = TrainConfig(**{f.name: getattr(command, f.name) for f in fields(TrainConfig)})
    stem = f"sweep-{Path(config.model).name}-{Path(config.data).stem}"
    config = replace(config, out=config.out or str(Path("runs") / stem))
    study = {part.name: getattr(command, part.name) for part in fields(StudyConfig)}
    with progress(to_stderr=command.json) as (bar, task):

        def tell(text: str, share: float) -> None:
            bar.update(task, description=text, completed=share, total=1)

        found = Sweep(config, read_axes(command.over), progress=tell, **study)
        with stop_on_interrupt(found.stop):
            tables = sweep_on_ray(found, command.workers) if command.on == "ray" else found
            for table in tables:
                bar.update(task, note=_told(table))
    if command.json:
        show_json(_as_json(found))
    else:
        _print(found)
    if page is not None:
        # Not before: pictures take a while to load.
        from workbench.view.sweep.sweep_page import sweep_page

        write_text(page, sweep_page(found))
        if not command.json:
            say(f"written: {command.html}")
    if found.stopped:
        print("stopped; the same command goes on", file=sys.stderr)
    return 130 if found.stopped else int(set(found.table()["state"]) == {"failed"})


def _told(table: pd.DataFrame) -> str:
    """How many runs have ended how."""
    counts = table["state"].value_counts()
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _as_json(found: Sweep) -> dict[str, Any]:
    """Numbers that are missing are null."""
    runs = found.table()  # once: other processes may add to it meanwhile
    tables = {"combinations": combinations_table(found.plan, runs), "runs": runs}
    best = run_to_take(found.plan, runs)
    return {
        "metric": found.metric, "direction": found.directions[0], "runs_in_all": found.plan.total,
        "take": None if best is None else best["folder"], "front": pareto_front(found.plan, runs),
        **{name: json.loads(table.to_json(orient="records")) for name, table in tables.items()},
    }  # fmt: skip


def _print(found: Sweep) -> None:
    """One line a combination, the best first; then what failed, and which run to take."""
    runs = found.table()  # once: other processes may add to it meanwhile
    combinations = combinations_table(found.plan, runs)
    axes = list(found.plan.axes)
    say(f"{found.metric}, mean over seeds; {_told(runs)}, of {found.plan.total} runs")
    metric = found.metric.removeprefix(PREFIX)
    table = Table(*axes, metric, "KL", "runs", "pruned, failed", "")
    for column in table.columns[len(axes) :]:
        column.justify = "right"
    for row in combinations.head(LISTED).to_dict("records"):
        error = "" if row["error"] != row["error"] else f" ± {row['error']:.3f}"
        table.add_row(
            *(_short(row[name]) for name in axes), _number(row["mean"]) + error,
            _number(row["kl"]), str(row["runs"]), str(row["failed"] or ""),
            "" if row["within_limit"] else "beyond the KL limit",
        )  # fmt: skip
    console.print(table)
    if (more := len(combinations) - LISTED) > 0:
        say(f"and {more} more")
    for row in runs[runs["state"] == "failed"].head(LISTED).to_dict("records"):
        say(f"{Path(row['folder']).name} failed: {row['reason']}")
    if found.plan.study.pareto and (front := pareto_front(found.plan, runs)):
        folders = runs.set_index("run").loc[front, "folder"]
        say(f"not surpassed in metric and KL: {', '.join(Path(one).name for one in folders)}")
    if (left := int((runs["state"] == "begun").sum())) and not found.stopped:
        say(f"{left} still under way in another process; the same command shows the whole later")
    if (best := run_to_take(found.plan, runs)) is None:
        say("no run has finished within the limits yet")
    else:
        say(f"{best['folder']}", "take: ", "bold")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"
