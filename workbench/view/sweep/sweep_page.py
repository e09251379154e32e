"""A sweep as one self-contained page, under the same policy as the page of a comparison."""

from __future__ import annotations

from dataclasses import fields
from importlib import resources
from pathlib import Path

from workbench.runs.study.study_sweep import Sweep
from workbench.train.config import TrainConfig
from workbench.view.compare.page import script_hash
from workbench.view.compare.several.comparison_data import as_json
from workbench.view.html.images import picture
from workbench.view.html.render import Html, render, static
from workbench.view.sweep.sweep_data import combinations, short, sweep_data
from workbench.view.sweep.sweep_figure import draw_sweep

START = """
const data = JSON.parse(document.getElementById("data").textContent);
buildSweep(document.getElementById("sweep"), data);
"""


def sweep_page(sweep: Sweep) -> str:
    """The page as HTML."""
    css, code = (
        (resources.files(__package__) / f"sweep.{kind}").read_text("utf-8")
        for kind in ("css", "js")
    )
    css, script = Html(static("page.css") + css), Html(code + START)
    data, plan = sweep_data(sweep), sweep.plan
    titles, rows = combinations(sweep)
    return render(
        "sweep_page",
        title=f"Sweep of {', '.join(plan.axes)}: {Path(plan.config.model).name} on "
        f"{Path(plan.config.data).name}",
        css=css, css_hash=script_hash(css), script=script, script_hash=script_hash(script),
        count=len(data["runs"]), total=plan.total, metric=sweep.metric,
        titles=titles, rows=rows, picture=picture(draw_sweep(data)),
        data=Html(as_json(data)), settings=_settings(plan.config),
    )  # fmt: skip


def _settings(config: TrainConfig) -> dict[str, str]:
    """What all runs have in common and is not left as it is."""
    return {
        part.name: short(value)
        for part in fields(TrainConfig)
        if part.name not in ("out", "world")
        and (value := getattr(config, part.name)) not in (None, part.default)
    }
