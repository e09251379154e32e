"""The command `methods`: compare methods at equal KL, or list them."""

from __future__ import annotations

import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from workbench.cli.command_settings import Methods
from workbench.cli.terminal import console, progress, say, show_json
from workbench.core.losses import LOSSES
from workbench.data.cache import atomic_write
from workbench.errors import WorkbenchError
from workbench.paths import folder_to_write
from workbench.runs.equal_kl.method_comparison import CSV, METHODS, Ranking, compare_methods
from workbench.train.config import TrainConfig

FIGURE = "methods.png"


def methods(command: Methods) -> None:
    """Train the methods and print how they rank; with `list` print every loss instead."""
    if command.list:
        _print_losses(command.json)
    else:
        _compare(command)


def _compare(command: Methods) -> None:
    if command.at_kl is not None and command.at_quality is not None:
        raise WorkbenchError("at_kl and at_quality are both given; accepted: one of the two")
    config = TrainConfig(**{f.name: getattr(command, f.name) for f in fields(TrainConfig)})
    stem = f"methods-{Path(config.model).name}-{Path(config.data).stem}"
    folder = Path(config.out or Path("runs") / stem)
    folder_to_write(folder, "out")
    seeds = range(config.seed, config.seed + command.seeds)
    try:
        with progress(to_stderr=command.json) as (bar, task):

            def tell(text: str, share: float) -> None:
                bar.update(task, description=text, completed=share, total=1)

            found = compare_methods(
                replace(config, out=str(folder), seed=0),
                command.losses or METHODS,
                seeds,
                processes=command.processes,
                progress=tell,
            )
    except KeyboardInterrupt:
        kept = "stopped; finished runs are kept, the same command goes on with the others"
        print(kept, file=sys.stderr)
        raise
    # Not before: pictures take a while to load, and the other commands need none.
    from workbench.view.html.images import png
    from workbench.view.plot.methods_figure import draw_methods

    picture = png(draw_methods(found, command.at_kl))
    atomic_write(folder / FIGURE, lambda part: part.write_bytes(picture))
    at = command.at_quality
    ranking = found.at_kl(command.at_kl) if at is None else found.at_quality(at)
    if command.json:
        show_json(_as_json(ranking, folder))
        return
    _print_ranking(ranking, command.seeds)
    for name in (CSV, FIGURE):
        say(f"written: {folder / name}")


def _as_json(ranking: Ranking, folder: Path) -> dict[str, Any]:
    """Numbers that are missing are null."""
    tables = {"methods": ranking.table, "differences": ranking.differences}
    return {
        "along": ranking.along, "at": ranking.at, "measured": ranking.measured,
        **{name: json.loads(table.to_json(orient="records")) for name, table in tables.items()},
        "csv": str(folder / CSV), "figure": str(folder / FIGURE),
    }  # fmt: skip


def _print_ranking(ranking: Ranking, seeds: int) -> None:
    """One line per method, and what its rank means."""
    title = f"{ranking.measured} at equal {ranking.along} = {ranking.at:.3g}, {seeds} seeds"
    table = Table(
        "loss", "best strength", ranking.measured, "95% interval", "rank", "not told apart from",
        title=title, title_justify="left",
    )  # fmt: skip
    for row in ranking.table.itertuples():
        if row.mean != row.mean:
            note = f"{ranking.along} up to {row.reaches:.3g}"
            table.add_row(row.loss, "–", "not reached", note, "–", "–")
            continue
        strength = f"{row.strength} {row.value:g}" if row.strength else "–"
        best, worst = int(row.best_rank), int(row.worst_rank)
        table.add_row(
            row.loss, strength, f"{row.mean:.3f}", f"{row.low:.3f} to {row.high:.3f}",
            f"{best}" if best == worst else f"{best}–{worst}", row.not_told_apart or "–",
        )  # fmt: skip
    console.print(table)
    if len(ranking.differences) and (ranking.differences["better"] == "").all():
        say("The methods are not told apart.")


def _print_losses(as_json: bool) -> None:
    """Every loss with its method, source and parameters."""
    if as_json:
        rows = [
            {
                "method": loss.method,
                "loss": loss.name,
                "reference": loss.needs_reference,
                "parameters": loss.defaults,
                "source": loss.source,
                "summary": loss.summary,
            }
            for loss in LOSSES.values()
        ]
        show_json(rows)
        return
    table = Table("method", "loss", "reference", "parameters", "source")
    for loss in LOSSES.values():
        parameters = "\n".join(f"{name} {value}" for name, value in loss.defaults.items())
        needs = "yes" if loss.needs_reference else "no"
        table.add_row(loss.method, loss.name, needs, parameters, loss.source)
    console.print(table)
