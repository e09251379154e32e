"""A run of a tenth of a second on disk, to be killed or damaged, and what it comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.models.load import save_model
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.train.base_model import BaseConfig, new_model, pretrain
from workbench.train.config import TrainConfig

STEPS = 14
OF_TIME = {"pairs_per_second", "seconds", "peak_memory_bytes", "sha256"}  # sha256: over the others
SETTINGS: dict[str, Any] = {
    "batch_size": 8, "held_out": 4, "samples": 2, "eval_every": 5, "max_new_tokens": 8, "lr": 1e-3,
    "warmup": 2, "checkpoint_every": 3, "max_steps": STEPS, "device": "cpu", "kernels": "plain",
    "precision": "float32",
}  # fmt: skip


def make_inputs(folder: Path) -> None:
    """A small model and a file of pairs."""
    world = Reviews(ReviewsConfig(pairs=24, topics=3))
    base = BaseConfig(dim=16, layers=1, hidden_dim=24, steps=20, texts=640)
    model = new_model(world, base)
    for _ in pretrain(model, world, base):
        pass
    save_model(model, folder / "model")
    rows = [
        {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
        for pair in world.preferences(None)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def config(inputs: Path, out: Path, **changes: Any) -> TrainConfig:
    """Settings of a run of these inputs."""
    named = {"model": str(inputs / "model"), "data": str(inputs / "pairs.jsonl"), "out": str(out)}
    return TrainConfig(**{**SETTINGS, **named, **changes})


def start(inputs: Path, out: Path, **changes: Any) -> Run:
    """A new run."""
    return Run.create(config(inputs, out, **changes))


def go(inputs: str, folder: str, changes: dict[str, Any]) -> None:
    """In a process of its own: begin a run or go on with it, to its end."""
    path = Path(folder)
    begun = (path / "config.toml").exists()
    for _ in Run.resume(path) if begun else start(Path(inputs), path, **changes):
        pass


def outcome(folder: Path) -> dict[str, Any]:
    """What a finished run came to, but for what depends on the clock: weights, events, summary."""
    record = Record(folder)
    newest = record.checkpoints()[-1]
    weights = load_file(newest / "policy.safetensors")
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    for event in events:
        if "metrics" in event:
            event["metrics"] = _timeless(event["metrics"])
    return {
        "step": newest.name,
        "weights": {name: value.numpy().tobytes() for name, value in weights.items()},
        "events": events,
        "summary": _timeless(record.summary() or {}),
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The parts in which two outcomes differ."""
    return [name for name in one if one[name] != other[name]]


def _timeless(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in OF_TIME}
