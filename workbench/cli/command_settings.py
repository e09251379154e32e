"""What each command can be told: one dataclass a command, whose fields are its flags."""

from __future__ import annotations

from dataclasses import Field, dataclass, fields, make_dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from workbench.cli.set_settings import SetCommand
from workbench.cli.sweep_settings import SweepCommand
from workbench.generation.config import SamplingConfig
from workbench.runs.trackers.adapters import ADAPTERS
from workbench.train.config import PRESETS, TrainConfig, check_field, setting


@dataclass(frozen=True, kw_only=True)
class Train(TrainConfig):
    """Train a policy on preference data by any method: pairs, labels, completions."""

    preset: str | None = setting(
        None,
        "settings by one name, where flags given beside it win; "
        + "; ".join(f"{one.name}: {one.about}" for one in PRESETS.values()),
    )
    resume: Path | None = setting(None, "go on with the interrupted run in this folder")
    processes: int = setting(
        1, "processes on this machine that train together; on several machines: torchrun, see "
        "docs/scale.md", 1, 1024,
    )  # fmt: skip
    accept_changes: bool = setting(
        False, "with --resume: go on though config.toml differs from what the run was made with"
    )
    track: str | None = setting(
        None, "show the run live there as well; pip install 'dpo-workbench[track]'",
        choices=tuple(ADAPTERS),
    )  # fmt: skip


class _Given:
    """What was said of sampling; None where nothing was."""

    def __post_init__(self) -> None:
        SamplingConfig(**self._given)  # raises for a bad value

    @property
    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value not in (None, ())}

    def over(self, shown: SamplingConfig) -> SamplingConfig:
        """What was said, and else as answers are shown; a temperature drops recommended filters."""
        if "temperature" in self._given:
            shown = SamplingConfig(max_new_tokens=shown.max_new_tokens, seed=shown.seed)
        return replace(shown, **self._given)


def _left_open(part: Field[Any]) -> tuple[str, Any, Any]:
    if part.name == "stop":
        return part.name, tuple[str, ...], dataclass_field(default=(), metadata=part.metadata)
    kind = type(part.default) | None
    facts = {**part.metadata, "help": f"{part.metadata['help']}; left out: as answers are shown"}
    return part.name, kind, dataclass_field(default=None, metadata=facts)


if TYPE_CHECKING:
    GivenSampling = _Given
else:
    GivenSampling = make_dataclass(
        "GivenSampling", map(_left_open, fields(SamplingConfig)), bases=(_Given,), frozen=True
    )


@dataclass(frozen=True, kw_only=True)
class SampleCommand:
    """Answer prompts with a run's policy beside its reference, or with a model."""

    source: str = setting(
        "", "folder of a run, or a model: tiny, smollm2 (4-bit, dequantised), a folder, an id",
        path=True,
    )  # fmt: skip
    prompt: tuple[str, ...] = setting((), "prompts; left out: some held-out ones of the run")
    sampling: GivenSampling = dataclass_field(default_factory=GivenSampling)
    json: bool = setting(False, "print JSON")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Score the held-out rows of a run with the weights of its newest checkpoint."""

    source: str = setting("", "folder of a run", path=True)
    json: bool = setting(False, "print JSON")


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Show what training changed: policies of runs beside a reference, also as one page."""

    source: tuple[str, ...] = setting(
        (), "folders of runs; the first one's reference is shown", path=True
    )
    html: Path | None = setting(None, "write one self-contained page to this file")
    prompt: tuple[str, ...] = setting((), "prompts; left out: some held-out ones of the run")
    step: int | None = setting(None, "of the checkpoint; left out: the newest")
    sampling: GivenSampling = dataclass_field(default_factory=GivenSampling)


@dataclass(frozen=True, kw_only=True)
class Methods(TrainConfig):
    """Compare training methods on the same pairs, at an equal distance from the reference."""

    losses: tuple[str, ...] = setting((), "methods by their losses; left out: six common ones")
    seeds: int = setting(5, "runs of each kind, with seeds from --seed on", 2, 10_000)
    at_kl: float | None = setting(
        None, "KL at which they are compared; left out: the largest that all reach", 0, 1e6
    )
    at_quality: float | None = setting(
        None, "compare instead the KL that this true reward takes (or accuracy)", -1e6, 1e6
    )
    processes: int | None = setting(
        None, "runs side by side; left out: one per core for small models, else one", 1, 1024
    )
    list: bool = setting(False, "train nothing; list every loss with its parameters")
    json: bool = setting(False, "print JSON")


@dataclass(frozen=True, kw_only=True)
class Constitution:
    """Make preference pairs without human labels: by principles, a writer and a critic.

    Every reply is on disk at once: the same command goes on where it was interrupted.
    """

    writer: str = setting(
        "tiny", "who answers: tiny, grammar (the reviews), smollm2, a folder, an id, endpoint",
        path=True,
    )  # fmt: skip
    critic: str = setting(
        "rules", "who judges: rules (for reviews), smollm2, a folder, an id, endpoint",
        path=True,
    )  # fmt: skip
    prompts: str = setting("reviews", "reviews, or a JSON or JSONL file with prompts", path=True)
    principles: Path | None = setting(
        None, "JSON or JSONL with name, text, maybe rule; left out: four for reviews"
    )
    kind: str = setting(
        "revision", "revised answers over the originals, or labels on two answers",
        choices=("revision", "label", "both"),
    )  # fmt: skip
    count: int = setting(60, "prompts that are answered; repeated if there are fewer", 1, 100_000)
    tries: int = setting(3, "how often a critic is asked for a reply in form", 1, 100)
    temperature: float = setting(1.0, "of writer and critic", 0.0, 5.0)
    max_new_tokens: int = setting(64, "longest reply of a local model, tokens", 1, 4096)
    seed: int = setting(0, "of answers, replies and the principle of each answer", 0, 2**31 - 1)
    out: Path = setting(Path("runs/constitution"), "folder of pairs, journal and summary")
    json: bool = setting(False, "print the summary as JSON")

    def __post_init__(self) -> None:
        for part in fields(self):
            check_field(part, getattr(self, part.name))


@dataclass(frozen=True, kw_only=True)
class Preflight(TrainConfig):
    """Look for what is wrong or suspicious in a file of pairs, before training on it.

    Takes the flags of train, because the forecast of minutes and memory depends on them. Ends with
    0 where nothing is wrong, with 1 where training on it goes wrong, with 2 where the file cannot
    be used.
    """

    source: str = setting(
        "", "JSON or JSONL file of pairs, or a shipped set (assistant, brief)", path=True
    )
    model: str = setting(
        "smollm2", "that is to be trained: tiny, smollm2, a folder, an id", path=True
    )
    quick: bool = setting(
        False, "leave out what needs the model itself: its pass over 128 pairs, and the forecast"
    )
    json: bool = setting(False, "print JSON")


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say what a run suffers from, with the evidence and the next thing to try.

    The run may have finished or still train; no model is loaded. Ends with 0 where nothing is
    found, with 1 where something is, with 2 where there is no run that can be read.
    """

    source: str = setting(
        "", "folder of a run, or TRL's trainer_state.json or a folder that holds one",
        path=True,
    )  # fmt: skip
    json: bool = setting(False, "print JSON")


@dataclass(frozen=True, kw_only=True)
class Track:
    """Show a recorded run in TensorBoard, W&B or Trackio, under the names of TRL's metrics."""

    source: str = setting("", "folder of a run", path=True)
    to: str = setting("tensorboard", "where it is shown", choices=tuple(ADAPTERS))
    folder: Path | None = setting(
        None, "where tensorboard or wandb writes; left out: within the run's folder"
    )


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a run in the form of another tool, and show that it is the same model.

    The folder appears when all is written and checked. Ends with 0, with 1 where what was written
    is not the trained model, with 2 where nothing can be written.
    """

    source: str = setting("", "folder of a run", path=True)
    to: str = setting(
        "hf", "hf: transformers; peft: adapters apart; gguf: llama.cpp and others; trl: data and "
        "script to train with TRL; comparator: answers for the LLM Comparator",
        choices=("hf", "peft", "gguf", "trl", "comparator"),
    )  # fmt: skip
    folder: str = setting("", "new or empty folder that it is written to", path=True)
    dtype: str = setting("f32", "of the matrices in GGUF", choices=("f32", "f16", "bf16"))
    losses: int = setting(
        100, "steps that TRL takes to compare its losses with the run's, 0: none", 0, 10_000
    )
    json: bool = setting(False, "print the certificate as JSON")


COMMANDS = {
    "train": Train, "sample": SampleCommand, "evaluate": Evaluate, "compare": Compare,
    "methods": Methods, "sweep": SweepCommand, "constitution": Constitution,
    "preflight": Preflight, "doctor": Doctor, "export": Export, "track": Track, "set": SetCommand,
}  # fmt: skip
Command: TypeAlias = (
    Train
    | SampleCommand
    | Evaluate
    | Compare
    | Methods
    | SweepCommand
    | Constitution
    | Preflight
    | Doctor
    | Track
    | Export
    | SetCommand
)
