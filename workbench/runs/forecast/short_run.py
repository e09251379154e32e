"""A short run on some rows of a file, for real, timed part by part."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from workbench.data import pairs
from workbench.data.large.row_stream import large_source
from workbench.data.layouts.row_sources import rows_of
from workbench.errors import WorkbenchError
from workbench.runs.large_data import load_data
from workbench.runs.run import Run
from workbench.runs.run_data import RunData
from workbench.train.batches import Counted, batches_for
from workbench.train.config import TrainConfig
from workbench.train.epoch_order import sizes_of
from workbench.train.events import CheckpointEvent, EvalEvent, Event, SampleEvent, StepEvent
from workbench.train.loop import total_steps
from workbench.train.method import Method, find_method

# Steps of a short run; the first one is slower, and counted apart.
STEPS = {"tiny": 20, "real": 6}
LONGEST = 3  # rows that are taken beside those of all lengths; some may be held out
HELD_OUT = 16  # rows that it is evaluated on, at most
SCORING = "scoring the data with the reference"


@dataclass(frozen=True)
class Sizes:
    """Tokens of the rows of a run, `train` and `held_out`, its optimiser steps, those an epoch."""

    train: int
    held_out: int
    steps: int
    per_epoch: int


@dataclass(frozen=True)
class Timed:
    """What a short run took, in seconds, and the sizes of it and of the whole one.

    Attributes:
        short, whole: tokens and steps.
        prepared: for model and data.
        scored: for the reference's values of all its rows; 0 where none are computed.
        steps: of each optimiser step; `step_tokens` are its tokens.
        first, later: of its first evaluation, which has the reference's answers to make, and of
            another one, without the held-out rows.
        held_out: for the held-out rows.
        checkpoint: of its last checkpoint, which has no optimiser state.
        peak_memory_bytes: the most that the process held.
    """

    short: Sizes
    whole: Sizes
    prepared: float
    scored: float
    steps: tuple[float, ...]
    step_tokens: tuple[int, ...]
    first: float
    later: float
    held_out: float
    checkpoint: float
    peak_memory_bytes: int


def no_forecast(config: TrainConfig) -> str:
    """Why there can be no short run of these settings; empty where there can be one."""
    method = find_method(str(config.resolved().method))
    if method.rollouts:
        return f"method {method.name} writes its own completions"
    if config.data == "reviews":
        return "data=reviews is no file"
    if config.data not in pairs.SHIPPED and large_source(config.data):
        return "the rows are too many to be read for it"
    return ""


def timed_run(config: TrainConfig, folder: Path) -> Timed:
    """Train in `folder` on some rows of the file that `config` names, the longest one among them.

    Raises:
        WorkbenchError: the run could not be started; or its rows are no file's.
    """
    if why := no_forecast(config):
        raise WorkbenchError(f"no forecast: {why}")
    method = find_method(str(config.resolved().method))
    few = _few_rows(config, method, folder / "rows.jsonl")
    scored: list[float] = []
    begin = perf_counter()
    run = Run.create(
        replace(few, out=str(folder / "run")),
        lambda text, share: scored.append(perf_counter()) if text == SCORING else None,
    )
    created = perf_counter()
    laps = list(_timed(run))
    held_out = min(_score_held_out(run) for _ in range(2))  # the first may do something once
    first, later = _evaluations(laps)
    peak = run.summary("")["peak_memory_bytes"]
    before = perf_counter()
    whole = _whole(config, run)
    read, asked = perf_counter() - before, (created - scored[0] if scored else 0.0)
    values = [lap for event, lap in laps if isinstance(event, StepEvent)]
    return Timed(
        _sizes(method, run.data, run.total, run.total),
        whole,
        prepared=created - begin - asked + read,
        scored=asked,
        steps=tuple(values),
        step_tokens=tuple(_step_tokens(run, step) for step in range(len(values))),
        first=max(first - held_out, 0.0),
        later=max(later - held_out, 0.0),
        held_out=held_out,
        checkpoint=sum(lap for event, lap in laps if isinstance(event, CheckpointEvent)),
        peak_memory_bytes=peak,
    )


def _timed(run: Run) -> Iterator[tuple[Event, float]]:
    """Each event, with the seconds until it came."""
    last = perf_counter()
    for event in run:
        now = perf_counter()
        yield event, now - last
        last = now


def _score_held_out(run: Run) -> float:
    begin = perf_counter()
    run._evaluator.score_items(run.policy, run.settings)
    return perf_counter() - begin


def _few_rows(config: TrainConfig, method: Method[Any], path: Path) -> TrainConfig:
    """The settings of the short run, whose rows are written to `path`: short and long ones as often
    as in the file, and the longest ones."""
    whole = config.resolved()
    shipped = Path(pairs.__file__).parent / f"{config.data}.jsonl"
    rows = rows_of(shipped if config.data in pairs.SHIPPED else config.data, config.columns)
    steps = STEPS["tiny" if config.model == "tiny" else "real"]
    count = steps * (whole.batch_size or 1) * whole.accumulate + HELD_OUT
    texts = sorted((json.dumps(row, default=str) for row in rows), key=len)
    if count < len(texts):
        shares = [(number + 0.5) / (count - LONGEST) for number in range(count - LONGEST)]
        texts = [*(texts[int(share * len(texts))] for share in shares), *texts[-LONGEST:]]
    random.Random(config.seed).shuffle(texts)
    path.write_text("\n".join(texts), encoding="utf-8")
    kept = min(whole.held_out or 0, HELD_OUT, len(texts) // 4)
    return replace(
        config, data=str(path), columns=None, held_out=kept, epochs=1, max_steps=0, eval_every=0,
        checkpoint_every=0,
    )  # fmt: skip


def _whole(config: TrainConfig, run: Run) -> Sizes:
    """Of the run that `config` describes, by the model and the settings of the short one."""
    filled = config.resolved()
    one = replace(
        run.config, data=config.data, columns=config.columns, held_out=filled.held_out,
        epochs=filled.epochs, max_steps=filled.max_steps,
    )  # fmt: skip
    data = load_data(one, run.method, run.model, one.device, one.precision)
    batches = batches_for(
        run.method, data.train, run.tokenizer.pad_id, one.batch_size or 1, one.accumulate,
        one.layout or "stacked", one.seed, one.max_tokens or 0, one.bucket,
    )  # fmt: skip
    return _sizes(run.method, data, total_steps(batches, one), len(batches))


def _sizes(method: Method[Any], data: RunData, steps: int, per_epoch: int) -> Sizes:
    parts = (sizes_of(part, method.size) for part in (data.train, data.held_out))
    train, held_out = (int(sizes.sum()) for sizes in parts)
    return Sizes(train, held_out, steps, per_epoch)


def _step_tokens(run: Run, step: int) -> int:
    batches = run._batches
    assert isinstance(batches, Counted)
    given = [batch.index for batch in batches.at(step) if batch.index is not None]
    indices = [index for part in given for index in part.tolist()]
    return sum(run.method.size(run.data.train[index]) for index in indices)


def _evaluations(laps: Sequence[tuple[Event, float]]) -> tuple[float, float]:
    """Seconds of the evaluations before the first step and after the last one."""
    steps = [place for place, (event, _) in enumerate(laps) if isinstance(event, StepEvent)]
    before, after = laps[: steps[0]], laps[steps[-1] :]
    first, later = (
        sum(lap for event, lap in part if isinstance(event, EvalEvent | SampleEvent))
        for part in (before, after)
    )
    return first, later
