"""Readings of TRL's trainers: of `trainer_state.json`, which they write beside each checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.data.json_rows import read_json
from workbench.errors import WorkbenchError
from workbench.runs.doctor.logged_metrics import Readings, Series, is_step, series_of

STATE = "trainer_state.json"
EVAL = "eval_"
NAMES = {
    "learning_rate": "lr",
    "kl": "kl/rollout",
    "reward": "scores",
    "completions/mean_length": "lengths/completion",
}
# What to try, by symptom; where it is the same, it is the workbench's.
ADVICE = {
    "evaluation too small": "hold out rows: an eval_dataset of 60 rows, or of 200 to compare runs, "
    'and eval_strategy="steps"',
    "memorised pairs": "take the checkpoint with the lowest eval_loss (load_best_model_at_end), or "
    "fewer num_train_epochs; more pairs help most",
    "chosen falling": "add likelihood of the chosen: loss_type=['sigmoid', 'sft']; or leave out "
    "pairs whose sides are nearly alike",
    "length growing": "balance the pairs by length, or take a loss that follows it less: ld_alpha "
    "below 1",
    "labels flipped": "look at ten pairs by eye: is the chosen one better? Else exchange the "
    "columns chosen and rejected",
}
NO_REFERENCE = ("nll_loss", "log_odds_ratio")  # that CPOTrainer and ORPOTrainer log
ALIKE = 1e-3  # relative spread of reward over log-probability, where one is a multiple of the other


def find_state(source: Path) -> Path | None:
    """The state in a file, in a folder, or in the newest checkpoint of a folder."""
    if source.is_file():
        return source
    if (source / STATE).is_file():
        return source / STATE
    found = [path for path in source.glob(f"checkpoint-*/{STATE}") if _number(path) >= 0]
    return max(found, key=_number, default=None)


def _number(path: Path) -> int:
    number = path.parent.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def read_state(path: Path) -> Readings:
    """Of a state's file.

    Raises:
        WorkbenchError: it is no JSON object, or has no `log_history` with steps in it.
    """
    state = read_json(path)
    history = state.get("log_history")
    if not isinstance(history, list):
        raise WorkbenchError(f"{path} has no list log_history: a trainer_state.json is needed")
    logged = [
        (entry["step"], entry)
        for entry in history
        if isinstance(entry, dict) and is_step(entry.get("step"))
    ]
    if not logged:
        raise WorkbenchError(f"{path}: log_history holds no step; train with logging_steps=10")
    training, broken = series_of((step, _named(entry, False)) for step, entry in logged)
    held_out, broken_too = series_of((step, _named(entry, True)) for step, entry in logged)
    step, whole = max(step for step, _ in logged), state.get("max_steps")
    total = whole if isinstance(whole, int) and is_step(whole) else 0
    epochs, _ = series_of((step, {"epoch": entry.get("epoch")}) for step, entry in logged)
    return Readings(
        source=str(path),
        state="finished" if total and step >= total else "running or interrupted",
        step=step,
        total=total,
        training=training,
        held_out=held_out,
        compares=_compares(training),
        settings={"eval_steps": every} if is_step(every := state.get("eval_steps")) else {},
        epochs=epochs["epoch"].highest[1] if epochs else None,
        not_finite=broken_too | broken,
        parts="trainer_state.json holds no texts of the data",
        advice=ADVICE,
    )


def _named(entry: Mapping[str, Any], held_out: bool) -> dict[str, Any]:
    """The metrics of an entry, of the evaluation or of training, as the workbench calls them."""
    found = {
        name.removeprefix(EVAL) if held_out else name: value
        for name, value in entry.items()
        if name.startswith(EVAL) == held_out and name not in ("step", "epoch")
    }
    return {NAMES.get(name, name): value for name, value in found.items()}


def _compares(training: Mapping[str, Series]) -> bool | None:
    """Whether rewards are log-ratios: not where they are a multiple of the log-probabilities."""
    rewards, logps = training.get("rewards/chosen"), training.get("logps/chosen")
    if rewards is None:
        return None
    if any(name in training for name in NO_REFERENCE):
        return False
    if logps is None:
        return None
    known = dict(logps.points)
    ratios = [value / known[step] for step, value in rewards.points if known.get(step)]
    if len(ratios) < 2:
        return None
    return not max(ratios) - min(ratios) <= ALIKE * abs(max(ratios, key=abs)) or not any(ratios)
