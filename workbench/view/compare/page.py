"""One self-contained page about a run, to be sent to somebody: answers, numbers, settings, curves.

The table is that of `several/`, which works without a kernel. The page asks the network for nothing
and needs no file beside it. A Content-Security-Policy allows its own style sheet, its own script
and inline pictures, and forbids all else, so that no text within could do anything even if it were
not escaped, which all of it is.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.generation.config import SamplingConfig
from workbench.models.load import ABOUT
from workbench.runs.evaluate import PREFIX
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent
from workbench.view.compare.several.comparison_data import as_json, table_data, topics_of
from workbench.view.html.answer_numbers import Grid, answers_table, legend, means_table
from workbench.view.html.images import image, png
from workbench.view.html.render import Html, render, static
from workbench.view.plot.run_figure import overview

SHORT = ("model", "data", "loss", "beta", "lr", "epochs", "batch_size", "lora", "seed")
PATHS = ("model", "data")  # only their last part is shown: the folders belong to the sender
HELD_OUT = (
    "loss", "rewards/accuracies", "rewards/margins", "logratios/chosen", "logratios/rejected",
    "kl/policy_reference", "samples/reward", "samples/grammatical", "samples/length",
)  # fmt: skip
CURVES = (
    "Curves of the run over its steps: loss, reward margin, log-ratios, held-out accuracy, "
    "KL to the reference, samples. The numbers at both ends are in the table above."
)


def comparison_page(
    runs: Sequence[Run], frame: pd.DataFrame, sampling: SamplingConfig, drawn: str = ""
) -> str:
    """The page as HTML.

    Args:
        runs: with the weights that answered, see `load_run`.
        frame: of `judged`; the first model is the first run's reference.
        sampling: how the answers were drawn.
        drawn: the same in words.
    """
    grid, config = Grid.of(frame), runs[0].config
    several = resources.files(__package__) / "several"
    css, code = ((several / f"comparison.{kind}").read_text("utf-8") for kind in ("css", "js"))
    css, script = Html(static("page.css") + css), Html(f"{code}\n{static('page.js')}")
    return render(
        "page",
        title=f"{_short('model', config.model)} on {_short('data', config.data)}, {config.loss}",
        css=css, css_hash=script_hash(css), script=script, script_hash=script_hash(script),
        names=grid.names, count=len(grid.rows), means=means_table(grid, styled=False),
        answers=answers_table(grid, grid.rows, "page"), legend=legend(grid),
        data=Html(as_json(table_data(frame, topics_of(runs[0])))),
        sampling=_texts(asdict(sampling)), drawn=drawn,
        runs=[_about(run, name) for run, name in zip(runs, grid.names[1:], strict=True)],
    )  # fmt: skip


def script_hash(text: str) -> Html:
    """By which a Content-Security-Policy allows a style sheet or a script."""
    digest = hashlib.sha256(text.encode()).digest()
    return Html(f"'sha256-{base64.b64encode(digest).decode()}'")


def _about(run: Run, name: str) -> dict[str, Any]:
    """What the page says of a run."""
    return {
        "name": name, "step": run.step, "total": run.total, "hash": run.reference_hash[:12],
        "settings": _settings(run), "held_out": _held_out(run), "curves": _curves(run),
        "every_setting": _every_setting(run.config), "about": ABOUT.get(run.config.model, ""),
    }  # fmt: skip


def _settings(run: Run) -> dict[str, str]:
    """The few that matter most, with their values at the end of the run."""
    now = {**asdict(run.config), **run.settings}
    shown = {n: _short(n, now[n]) for n in SHORT if now[n] not in (None, 0) or n == "seed"}
    pairs = f"{len(run.data.train)} to train on, {len(run.data.held_out)} held out"
    return _texts(shown | {"pairs": pairs})


def _held_out(run: Run) -> dict[str, Any] | None:
    """The first and the last evaluation of the run."""
    found = [event for event in run.events if isinstance(event, EvalEvent)]
    if not found:
        return None
    ends = found[0], found[-1]
    rows = {
        name: [_number(event.metrics, name) for event in ends]
        for name in HELD_OUT
        if all(PREFIX + name in event.metrics for event in ends)
    }
    return {"steps": [event.step for event in ends], "rows": rows}


def _every_setting(config: TrainConfig) -> dict[str, str]:
    values = {part.name: getattr(config, part.name) for part in fields(config)}
    values |= {f"world.{name}": value for name, value in asdict(values.pop("world")).items()}
    return _texts({n: _short(n, v) for n, v in values.items() if n != "out"})


def _curves(run: Run) -> str:
    """The figure of the run; nothing before the first event, as in a branch at its first step."""
    frame = run.frame()
    return "" if frame.empty else image(png(overview(frame)), CURVES, width=1000, height=520)


def _short(name: str, value: Any) -> Any:
    """A path without its folders; anything else as it is."""
    if name not in PATHS or not isinstance(value, str):
        return value
    path = Path(value)  # the id of a model on a hub has a slash, too
    is_path = path.is_absolute() or value.startswith((".", "~")) or path.exists()
    return path.name if is_path or name == "data" else value


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Settings as they are written on the page."""

    def text(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:g}"
        if isinstance(value, list | tuple):
            return ", ".join(map(repr, value)) or "none"
        return "left open" if value is None else str(value)

    return {name: text(value) for name, value in values.items()}


def _number(metrics: Mapping[str, float], name: str) -> str:
    """A metric as text; where all margins are 0, as before the first step, there is no accuracy."""
    if name == "rewards/accuracies" and metrics.get(PREFIX + "rewards/ties") == 1:
        return "all ties"
    return f"{metrics[PREFIX + name]:.3f}".replace("-", "−")
