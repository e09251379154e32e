"""The runs of a comparison: what they are, how each is trained and measured, their rows on disk.

All methods get the same model, the same pairs and as many steps over as many pairs, and they are
measured alike, whatever their own evaluation looks like: by one evaluator per seed, whose reference
is the start model. `accuracy` is the share of held-out pairs with the higher *log-ratio* on the
chosen, sums over the completion, policy minus start model; ties, as all are at step 0, count half.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from workbench.core.losses import find_loss
from workbench.data.pairs import TextPair
from workbench.errors import WorkbenchError
from workbench.runs.evaluate import PREFIX, Evaluator
from workbench.runs.folder.config_file import write_text
from workbench.runs.prepare import prepare
from workbench.runs.run import Run
from workbench.runs.sweep import opened, with_parsed_reward
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent
from workbench.train.loop import NonFiniteLossError
from workbench.train.method import find_method
from workbench.train.settings import LiveSettings

YARDSTICK = "dpo"  # its implicit reward is the log-ratio, by which all methods are measured
# Column -> metric of the evaluation.
MEASURED = {
    "kl": "kl/policy_reference", "kl_se": "kl/policy_reference_se",
    "reward": "samples/parsed_reward", "grammatical": "samples/grammatical",
    "length": "samples/length",
}  # fmt: skip
COLUMNS = {
    "method", "loss", "strength", "value", "seed", "step", *MEASURED, "accuracy", "held_out_loss",
    "pairs", "seconds", "diverged",
}  # fmt: skip
AGAIN = "remove it, and this run is trained again"


@dataclass(frozen=True)
class PlannedRun:
    """One run: a loss at one value of its strength, and a seed.

    Attributes:
        strength: the name of the parameter, empty where the loss has none.
        config: of the run, batches and held-out items counted in its own rows.
        content: hashes of the files that the config names.
    """

    loss: str
    strength: str
    value: float
    config: TrainConfig
    content: tuple[str, ...]

    @property
    def file(self) -> str:
        """Name of the file with its rows: it holds a hash of all that they depend on."""
        settings = asdict(self.config.resolved())
        made_by = [version("dpo-workbench"), torch.__version__]
        text = json.dumps([settings, self.content, made_by], sort_keys=True)
        value = f"-{self.strength}={self.value:g}" if self.strength else ""
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        name = re.sub(r"[^\w.=-]", "-", f"{self.loss}{value}-seed={self.config.seed}")
        return f"{name}-{digest}.json"


def read_rows(run: PlannedRun, folder: Path) -> list[dict[str, Any]]:
    """The rows of a run that was trained before. Raises WorkbenchError for a spoilt file."""
    path = folder / run.file
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        known = {(row["loss"], row["seed"], row["value"]) for row in rows}
        complete = all(row.keys() >= COLUMNS for row in rows)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WorkbenchError(f"{path} can't be read ({error}); {AGAIN}") from error
    own = run.loss, run.config.seed, run.value if run.strength else None
    if known != {own} or not complete:
        raise WorkbenchError(f"{path} does not hold the rows of its run; {AGAIN}")
    return rows


def _content(*names: str) -> tuple[str, ...]:
    """Hashes of files, and of the files of folders; nothing for names of other things."""
    paths = [path for name in names for path in (Path(name), *sorted(Path(name).glob("*")))]
    return tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file())


def plan(
    config: TrainConfig,
    methods: Sequence[str],
    seeds: Sequence[int],
    strengths: Mapping[str, Sequence[float]],
) -> list[PlannedRun]:
    """Every run of a comparison, those of one seed together; bad values are refused here."""
    found, content = [], _content(config.data, config.model)
    for seed in seeds:
        for name in methods:
            loss = find_loss(name)
            rows = rows_per_pair(loss.method)
            filled = replace(config, loss=name, seed=seed).resolved()
            own = replace(
                config, loss=name, seed=seed, out=None,
                batch_size=rows * (filled.batch_size or 1), held_out=rows * (filled.held_out or 0),
            )  # fmt: skip
            strength, values = loss.strength or "", strengths[name]
            for value in values or [float("nan")]:
                changed: dict[str, Any] = {strength: value} if strength else {}
                found.append(PlannedRun(name, strength, value, replace(own, **changed), content))
    return found


def rows_per_pair(method: str) -> int:
    """How many rows a training method makes of a pair: its batches are that much larger."""
    return len(find_method(method).from_pairs([TextPair("prompt", "chosen", "rejected")]))


def train(
    runs: Sequence[PlannedRun], shared: TrainConfig, folder: Path, stopped: Callable[[], bool]
) -> Iterator[PlannedRun]:
    """Train runs of one seed, each written to `folder` before it is yielded.

    `shared` are the settings of the comparison, with this seed; a run in which `stopped` becomes
    true is dropped and the rest left out.
    """
    evaluator, pairs = _yardstick(shared)
    # The evaluator draws the samples; a run's own evaluation would only repeat them.
    of_config = {replace(one.config, samples=0): one for one in runs}
    for config, run in opened(list(of_config)):
        _check_same_pairs(run, pairs)
        rows = _rows(of_config[config], run, evaluator, stopped)
        if rows is None:
            return
        write_text(folder / of_config[config].file, json.dumps(rows, indent=1) + "\n")
        yield of_config[config]


def _yardstick(shared: TrainConfig) -> tuple[Evaluator, list[TextPair]]:
    """What measures every run of a seed, and the pairs that all of them train on."""
    parts = prepare(replace(shared, loss=YARDSTICK))
    if parts.evaluator.scores is not None:
        parts.evaluator.scores = with_parsed_reward(parts.evaluator.scores)
    return parts.evaluator, list(parts.data.train_texts)


def _check_same_pairs(run: Run, pairs: list[TextPair]) -> None:
    """Raise where a method would train on other rows than those of these pairs."""
    wanted = run.method.from_pairs(pairs)
    if run.data.train_texts != wanted:
        raise WorkbenchError(
            f"data={run.config.data!r} gives {run.config.loss} {len(run.data.train_texts)} rows to "
            f"train on where its pairs make {len(wanted)}; remove the rows that are no full pairs"
        )


def _rows(
    planned: PlannedRun, run: Run, evaluator: Evaluator, stopped: Callable[[], bool]
) -> list[dict[str, Any]] | None:
    """One row per evaluation; None where it was stopped.

    A run whose loss is no longer finite ends there: it has reached what it reached.
    """
    rows = []
    try:
        for event in run:
            if stopped():
                return None
            if isinstance(event, EvalEvent):
                rows.append(_row(planned, run, evaluator, event))
    except NonFiniteLossError:
        rows[-1]["diverged"] = True
    return rows


def _row(planned: PlannedRun, run: Run, evaluator: Evaluator, event: EvalEvent) -> dict[str, Any]:
    settings = LiveSettings.start(TrainConfig(loss=YARDSTICK).resolved())
    measured = evaluator(run.policy, run.step, settings)[0]
    assert isinstance(measured, EvalEvent)
    found = {name.removeprefix(PREFIX): value for name, value in measured.metrics.items()}
    accuracy = found.get("rewards/accuracies")
    taken = run.summary("")
    return {
        "method": run.method.name, "loss": planned.loss, "strength": planned.strength,
        "value": planned.value if planned.strength else None, "seed": run.config.seed,
        "step": run.step, **{column: found.get(name) for column, name in MEASURED.items()},
        "accuracy": None if accuracy is None else accuracy + found["rewards/ties"] / 2,
        "held_out_loss": event.metrics.get(PREFIX + "loss"),
        "pairs": taken["pairs"] // rows_per_pair(run.method.name), "seconds": taken["seconds"],
        "diverged": False,
    }  # fmt: skip
