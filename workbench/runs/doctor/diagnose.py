"""Every symptom on one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.paths import given_path
from workbench.runs.doctor import symptoms_data, symptoms_start, symptoms_texts
from workbench.runs.doctor.diagnosis import CANNOT_TELL, Diagnosis
from workbench.runs.doctor.logged_metrics import Readings
from workbench.runs.doctor.run_readings import parts_of, read_folder, read_run
from workbench.runs.doctor.trl_readings import STATE, find_state, read_state
from workbench.runs.run_view import RunView

# Causes before what follows from them.
SYMPTOMS: tuple[Callable[[Readings], Diagnosis], ...] = (
    symptoms_start.other_reference,
    symptoms_data.leakage,
    symptoms_start.large_learning_rate,
    symptoms_start.small_learning_rate,
    symptoms_data.flipped_labels,
    symptoms_data.reversed_ranking,
    symptoms_data.stuck,
    symptoms_data.memorised,
    symptoms_texts.over_optimised,
    symptoms_texts.exploding_kl,
    symptoms_texts.falling_chosen,
    symptoms_texts.growing_length,
    symptoms_texts.repeating,
    symptoms_start.small_evaluation,
)


@dataclass(frozen=True)
class Report:
    """What a run suffers from.

    Attributes:
        source: the run.
        state: "finished", "stopped", "running", or "running or interrupted" of a folder.
        step, total: steps taken, and those of the whole run; 0 where that is unknown.
        diagnoses: one per symptom; causes before what follows from them.
    """

    source: str
    state: str
    step: int
    total: int
    diagnoses: tuple[Diagnosis, ...]

    @property
    def found(self) -> tuple[Diagnosis, ...]:
        """What it has."""
        return tuple(one for one in self.diagnoses if one.found)

    @property
    def unknown(self) -> tuple[Diagnosis, ...]:
        """What cannot be told."""
        return tuple(one for one in self.diagnoses if one.verdict == CANNOT_TELL)

    @property
    def verdict(self) -> str:
        """In a line.

        >>> Report("run", "finished", 90, 90, ()).verdict
        'finished, step 90 of 90: nothing found'
        """
        names = ", ".join(one.name for one in self.found) or "nothing found"
        open_ones = f"; {len(self.unknown)} cannot be told" if self.unknown else ""
        of = f" of {self.total}" if self.total else ""
        return f"{self.state}, step {self.step}{of}: {names}{open_ones}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def diagnose(source: Path | str | RunView | Readings) -> Report:
    """Look for what a run suffers from, without loading its model.

    Args:
        source: folder of a run, finished or not, or a run in hand; a `trainer_state.json` of TRL,
            or a folder with one or with checkpoints that have one.

    Raises:
        WorkbenchError: there is neither, or it cannot be read.
    """
    if isinstance(source, RunView):
        source = read_run(source, parts_of(source))
    seen = source if isinstance(source, Readings) else _read(given_path(source))
    diagnoses = tuple(_worded(symptom(seen), seen) for symptom in SYMPTOMS)
    return Report(seen.source, seen.state, seen.step, seen.total, diagnoses)


def _worded(one: Diagnosis, seen: Readings) -> Diagnosis:
    """With the advice for these settings, where that of the workbench names options of its own."""
    return replace(one, next=seen.advice.get(one.name, one.next)) if "--" in one.next else one


def _read(source: Path) -> Readings:
    if (source / "config.toml").exists():
        return read_folder(source)
    state = find_state(source)
    if state is None:
        raise WorkbenchError(
            f"{source} holds no run: give the folder of a run, with config.toml and events.jsonl, "
            f"or TRL's {STATE}"
        )
    return read_state(state)
