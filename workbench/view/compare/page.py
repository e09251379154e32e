"""One self-contained page about a run, to be sent to somebody: answers, numbers, settings, curves.

It asks the network for nothing and needs no file beside it. A Content-Security-Policy allows its
own style sheet, its own script and inline pictures, and forbids all else, so that no text within
could do anything even if it were not escaped, which all of it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.generation.config import SamplingConfig
from workbench.runs.evaluate import PREFIX
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent
from workbench.view.compare.page_parts import SCRIPT, STYLE
from workbench.view.html import elements
from workbench.view.html.answer_grid import (
    ASKED,
    CHANGE,
    Grid,
    Row,
    cells,
    legend,
    means_table,
    name_of,
)
from workbench.view.html.elements import escape
from workbench.view.plot.run_figure import overview

SHORT = ("model", "data", "loss", "beta", "lr", "epochs", "batch_size", "lora", "seed")
PATHS = ("model", "data")  # of which only the name is told: the rest is the sender's own affair
HELD_OUT = (
    "loss", "rewards/accuracies", "rewards/margins", "logratios/chosen", "logratios/rejected",
    "kl/policy_reference", "samples/reward", "samples/grammatical", "samples/length",
)  # fmt: skip


def comparison_page(run: Run, frame: pd.DataFrame, sampling: SamplingConfig) -> str:
    """The page as HTML.

    Args:
        run: with the weights that answered, see `load_run`.
        frame: of `answers_frame`.
        sampling: how the answers were drawn.
    """
    grid, config = Grid.of(frame), run.config
    title = f"{_short('model', config.model)} on {_short('data', config.data)}, {config.loss}"
    pieces = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(_where(run, grid))}</p>',
        "<h2>What changed</h2>",
        f'<div class="scroll">{means_table(grid, styled=False)}</div>',
        _form(grid),
        f'<div class="scroll">{_answers(grid)}</div>',
        legend(grid),
        "<h2>How it was trained</h2>",
        f'<div class="two">{_settings(run)}{_held_out(run)}</div>',
        _details("Every setting", _every_setting(config)),
        _details("How the answers were drawn", _table(asdict(sampling))),
        *_curves(run),
    ]
    return _document(title, "\n".join(pieces))


def _document(title: str, body: str) -> str:
    rules = (
        f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{rules}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _where(run: Run, grid: Grid) -> str:
    count = len(grid.rows)
    return (
        f"{' beside '.join(reversed(grid.names))} after step {run.step} of {run.total}, "
        f"{count} {'prompt' if count == 1 else 'prompts'}, the same seed for all. "
        f"Reference {run.reference_hash[:12]}."
    )


def _form(grid: Grid) -> str:
    """Controls of the table; the script reads them by name."""
    sorts = [(ASKED, ASKED), ("prompt", "prompt"), ("text", "text")]
    sorts += [(metric, name_of(metric)) for metric in grid.metrics]
    last = [(str(place), name) for place, name in enumerate(grid.names)][::-1]
    of = [*last[:1], *([(CHANGE, CHANGE)] if len(last) > 1 else []), *last[1:]]
    return (
        f"<form><label>sort by {_select('sort', 'sort by', sorts)}</label>"
        f"<label>of {_select('of', 'of', of)}</label>"
        '<label><input type="checkbox" name="descending"> largest first</label>'
        '<label>text contains <input type="search" name="contains"></label>'
        '<label><input type="checkbox" name="differs"> only where answers differ</label>'
        '<output aria-live="polite"></output></form>'
    )


def _select(name: str, told: str, options: Sequence[tuple[str, str]]) -> str:
    listed = "".join(
        f'<option value="{escape(value)}">{escape(label)}</option>' for value, label in options
    )
    # Without a name of its own a screen reader would read all options as a part of the label.
    return f'<select name="{name}" aria-label="{told}">{listed}</select>'


def _answers(grid: Grid) -> str:
    heads = "".join(f"<th><bdi>{escape(name)}</bdi></th>" for name in ("prompt", *grid.names))
    body = "\n".join(_row(grid, row) for row in grid.rows)
    return f'<table class="wb-answers"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'


def _row(grid: Grid, row: Row) -> str:
    numbers = {
        name: [None if math.isnan(value) else value for value in values]
        for name, values in row.numbers.items()
    }
    facts = (
        f'data-place="{row.place}" data-differs="{int(row.differs)}" '
        f'data-numbers="{escape(json.dumps(numbers))}"'
    )
    filled = "".join(f"<td>{cell}</td>" for cell in cells(grid, row, styled=False))
    return f"<tr {facts}><td><bdi>{escape(row.prompt)}</bdi></td>{filled}</tr>"


def _settings(run: Run) -> str:
    """The few that matter most, with those that were changed on the way as they are now."""
    now = {**asdict(run.config), **run.settings}
    values = {
        name: _short(name, now[name])
        for name in SHORT
        if now[name] not in (None, 0) or name == "seed"
    }
    values["pairs"] = f"{len(run.data.train)} to train on, {len(run.data.held_out)} held out"
    return f"<div>{_table(values, 'setting')}</div>"


def _held_out(run: Run) -> str:
    """The first and the last evaluation of the run's past."""
    found = [event for event in run.events if isinstance(event, EvalEvent)]
    if not found:
        return ""
    first, last = found[0], found[-1]
    rows = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td>{_number(event.metrics, name)}</td>" for event in (first, last))
        + "</tr>"
        for name in HELD_OUT
        if PREFIX + name in first.metrics and PREFIX + name in last.metrics
    )
    return (
        '<div><table class="numbers"><thead><tr><th>held out</th>'
        f"<th>step {first.step}</th><th>step {last.step}</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _every_setting(config: TrainConfig) -> str:
    values = {part.name: getattr(config, part.name) for part in fields(config)}
    values |= {f"world.{name}": value for name, value in asdict(values.pop("world")).items()}
    return _table({n: _short(n, v) for n, v in values.items() if n != "out"}, "setting")


def _table(values: Mapping[str, Any], title: str = "") -> str:
    head = f"<thead><tr><th>{title}</th><th></th></tr></thead>" if title else ""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td><bdi>{escape(_text(value))}</bdi></td></tr>"
        for name, value in values.items()
    )
    return f'<table class="facts">{head}<tbody>{rows}</tbody></table>'


def _details(title: str, inside: str) -> str:
    return f"<details><summary>{title}</summary>{inside}</details>"


def _curves(run: Run) -> list[str]:
    """Nothing where nothing was said, as in a branch at its first step."""
    said = run.frame()
    if said.empty:
        return []
    picture = base64.b64encode(elements.png(overview(said))).decode()
    told = "Curves of the run over its steps: loss, reward margin, log-ratios, held-out accuracy, "
    told += "KL to the reference, samples. The numbers at both ends are in the table above."
    return [
        "<h2>Curves</h2>",
        f'<img width="1000" height="520" alt="{told}" src="data:image/png;base64,{picture}">',
    ]


def _short(name: str, value: Any) -> Any:
    """A path without its folders; anything else as it is."""
    if name not in PATHS or not isinstance(value, str):
        return value
    path = Path(value)  # the id of a model on a hub has a slash, too
    is_path = path.is_absolute() or value.startswith((".", "~")) or path.exists()
    return path.name if is_path or name == "data" else value


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(repr, value)) or "none"
    return "left open" if value is None else str(value)


def _number(metrics: Mapping[str, float], name: str) -> str:
    """Where all margins are 0, as before the first step, there is no accuracy to tell."""
    if name == "rewards/accuracies" and metrics.get(PREFIX + "rewards/ties") == 1:
        return "all ties"
    return f"{metrics[PREFIX + name]:.3f}".replace("-", "−")
