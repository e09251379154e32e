"""The runs of a sweep as its page draws them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from workbench.runs.study.axes import in_ratios
from workbench.runs.study.config import PREFIX
from workbench.runs.study.study_sweep import Sweep
from workbench.runs.study.study_table import metric_columns, run_to_take
from workbench.view.html.render import Html, render


def sweep_data(sweep: Sweep) -> dict[str, Any]:
    """What `sweep.js` draws; numbers that are missing are null."""
    runs, front, plan = sweep.table(), sweep.front(), sweep.plan
    best = run_to_take(plan, runs)
    metric, kl = metric_columns(plan)
    rows = [
        {
            "run": row["run"], "name": Path(row["folder"]).name, "folder": row["folder"],
            "state": row["state"], "reason": row["reason"], "step": row["step"],
            "settings": [row[name] for name in plan.names], "within": row["within_limit"],
            "metric": _number(row.get(metric)), "kl": _number(row.get(kl)),
            "seconds": _number(row["seconds"]), "front": row["run"] in front,
        }
        for row in runs.to_dict("records")
    ]  # fmt: skip
    return {
        "axes": [{"name": n, "log": n != "seed" and in_ratios(n)} for n in plan.names],
        "metric": sweep.metric.removeprefix(PREFIX), "upwards": sweep.directions[0] == "maximize",
        "limit": plan.study.kl_limit, "total": plan.total, "runs": rows, "front": front,
        "take": None if best is None else int(best["run"]),
    }  # fmt: skip


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def combinations_html(sweep: Sweep) -> Html:
    """The combinations as a table for a notebook, the best first."""
    titles, rows = combinations(sweep)
    return render("table", name="wb-combinations", titles=titles, rows=rows, numbers=True)


def combinations(sweep: Sweep) -> tuple[list[str], list[tuple[str, ...]]]:
    """Titles and rows of the same table."""
    axes, metric = list(sweep.plan.axes), sweep.metric.removeprefix(PREFIX)
    rows: list[tuple[str, ...]] = []
    for row in sweep.combinations().to_dict("records"):
        error = "" if row["error"] != row["error"] else f" ± {row['error']:.3f}"
        limit = "" if row["within_limit"] else ", beyond the limit"
        rows.append(
            (
                ", ".join(f"{name} {short(row[name])}" for name in axes),
                f"{_text(row['mean'])}{error}", f"{_text(row['kl'])}{limit}",
                str(row["runs"]), str(row["failed"] or ""),
            )
        )  # fmt: skip
    titles = ["combination", f"{metric}, mean over seeds", "KL, nats", "runs", "pruned or failed"]
    return titles, rows


def short(value: Any) -> str:
    """A setting as it is written: four digits of a number."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(value: float) -> str:
    return "–" if value != value else f"{value:.3f}".replace("-", "−")
