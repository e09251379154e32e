"""Many runs, one table: every combination of some settings.

A tidy frame comes after each finished run, with the rows of all runs so far, so that a figure can
grow while they go on. One row is one evaluation: the settings that were swept, the step, and what
was measured there.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.core.losses import all_parameters, find_loss
from workbench.data.reviews.config import ReviewsConfig
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.evaluate import PREFIX, TextScores
from workbench.runs.folder.record import Record
from workbench.runs.prepare import Parts, prepare
from workbench.runs.run import Run
from workbench.runs.self_test.self_test import self_test
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, StepEvent
from workbench.train.method import find_method

# Settings of the loop alone: runs that differ in nothing else share model, pairs and reference.
OF_THE_LOOP = (
    "loss", *all_parameters(), "lr", "warmup", "epochs", "max_steps", "max_grad_norm",
    "weight_decay", "eval_every", "checkpoint_every", "out",
)  # fmt: skip
WORLD = tuple(part.name for part in fields(ReviewsConfig))
SWEPT = (*(p.name for p in fields(TrainConfig) if p.name not in ("out", "world")), *WORLD)


def sweep(
    config: TrainConfig,
    grid: Mapping[str, Sequence[Any]],
    base: Model | None = None,
    progress: Progress | None = None,
) -> Iterator[pd.DataFrame]:
    """Train every combination of the values in `grid`; a frame of all runs so far after each.

    Args:
        config: what all runs have in common. With `out` each run is written to a folder there.
        grid: a field of TrainConfig or of its world -> the values it takes.
        base: a loaded model, instead of the one that `config.model` names; it stays as it is.
        progress: called with what is being done and the share done, 0 to 1; while training, of all
            runs.

    Yields:
        One row an evaluation: `beta`, `seed`, the fields of `grid`, `step`, and every held-out
        metric without `held_out/` (where `loss` is swept, that metric stays `held_out/loss`). Where
        a world knows reward and grammar, `samples/parsed_reward` is the mean over texts of the
        reward, counted as 0 for texts that do not parse.

    Raises:
        WorkbenchError: at once, before anything is trained: an unknown field, no values, a value
            out of range, or a folder that holds a run already.
    """
    runs = [_changed(config, settings) for settings in _combinations(grid)]
    for one in runs:
        filled = one.resolved()
        find_method(str(filled.method)).check_batch_size(filled.batch_size or 1)
        if one.out is not None:
            Record.refuse_existing(Path(one.out))
    folders = [one.out for one in runs if one.out is not None]
    if len(set(folders)) < len(folders):
        raise WorkbenchError("two of these runs would share a folder; rename one of the values")
    if "model" in grid and base is not None:
        raise WorkbenchError("model is swept and base is given; accepted: one of the two")
    return _train(runs, tuple(dict.fromkeys(("beta", "seed", *grid))), base, progress)


def refuse_not_swept(name: str) -> None:
    """Raise WorkbenchError where no setting of this name can be swept."""
    if name not in SWEPT:
        near = get_close_matches(name, SWEPT)
        accepted = f"near it: {', '.join(near)}" if near else f"accepted: {', '.join(SWEPT)}"
        raise WorkbenchError(f"{name!r} can't be swept; {accepted}")


def _combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    for name, values in grid.items():
        refuse_not_swept(name)
        if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
            raise WorkbenchError(f"grid[{name!r}]={values!r} is not accepted: a list of values")
        if len(set(map(repr, values))) < len(values):
            raise WorkbenchError(f"grid[{name!r}]={values!r} holds a value twice")
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def _changed(config: TrainConfig, settings: dict[str, Any]) -> TrainConfig:
    """`config` with these settings, those of the world in its config, and a folder per run."""
    world = replace(config.world, **{k: v for k, v in settings.items() if k in WORLD})
    own = {name: value for name, value in settings.items() if name not in WORLD}
    if config.out is not None:
        name = ",".join(f"{key}={value}" for key, value in settings.items()) or "run"
        own["out"] = str(Path(config.out) / re.sub(r"[^\w.,=-]", "-", name))
    return replace(config, world=world, **own)


def _train(
    runs: list[TrainConfig],
    columns: tuple[str, ...],
    base: Model | None,
    progress: Progress | None,
) -> Iterator[pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    for number, (config, run) in enumerate(opened(runs, base, progress)):
        for event in run:
            if isinstance(event, StepEvent) and progress is not None:
                share = (number + event.step / event.total) / len(runs)
                progress(f"run {number + 1} of {len(runs)}", share)
            elif isinstance(event, EvalEvent):
                named = {name: _setting(config, name) for name in columns}
                found = {_column(name, columns): v for name, v in event.metrics.items()}
                rows.append({**named, "step": event.step, **found})
        yield pd.DataFrame(rows)


def opened(
    runs: list[TrainConfig], base: Model | None = None, progress: Progress | None = None
) -> Iterator[tuple[TrainConfig, Run]]:
    """Each run, ready to go; the parts of one group at a time, for they hold model and pairs."""
    groups: dict[object, list[TrainConfig]] = {}
    for config in runs:
        groups.setdefault(group_of(config), []).append(config)
    for group in groups.values():
        parts = prepare_group(group[0], base, progress)
        for config in group:
            yield config, start_run(parts, config)


def group_of(config: TrainConfig) -> object:
    """Equal for runs that can share model, pairs and reference."""
    alike = {name: getattr(TrainConfig, name) for name in OF_THE_LOOP}
    loss = find_loss(config.resolved().loss)
    return replace(config, method=loss.method, **alike), loss.needs_reference


def prepare_group(config: TrainConfig, base: Model | None, progress: Progress | None) -> Parts:
    """What the runs of a group share, made from the settings of any of them."""
    own = base and replace(base, policy=copy.deepcopy(base.policy))
    parts = prepare(config, progress, own)
    if parts.evaluator.scores is not None:
        parts.evaluator.scores = with_parsed_reward(parts.evaluator.scores)
    return parts


def with_parsed_reward(scores: TextScores) -> TextScores:
    """The scores of a text, and its reward counted only if it parses."""

    def score(prompt: str, text: str) -> dict[str, float]:
        found = scores(prompt, text)
        return {**found, "parsed_reward": found["reward"] * found["grammatical"]}

    return score


def start_run(parts: Parts, config: TrainConfig) -> Run:
    """A run of its own policy over parts that others use as well."""
    found = parts.method.open_settings(parts.data.train, config)
    open_filled = replace(config.resolved(), **found)
    loop = {name: getattr(open_filled, name) for name in OF_THE_LOOP}
    model = replace(parts.model, policy=copy.deepcopy(parts.model.policy))
    own = replace(parts, model=model, config=replace(parts.config, **loop))
    run = Run(own)
    run.self_test = self_test(own, run._state)
    if config.out is not None:
        run.record = Record.create(Path(config.out), run.config)
        run.record.describe(run.data, run.self_test)
    return run


def _column(metric: str, settings: tuple[str, ...]) -> str:
    """The column of a held-out metric: without its prefix, unless a setting has that name."""
    name = metric.removeprefix(PREFIX)
    return metric if name in settings else name


def _setting(config: TrainConfig, name: str) -> Any:
    return getattr(config.world if name in WORLD else config.resolved(), name)
