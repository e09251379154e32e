"""Settings that show something, by name: for `train --preset`, for dashboards and notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.errors import WorkbenchError
from workbench.train.config.train_config import TrainConfig


@dataclass(frozen=True)
class Preset:
    """Fields of TrainConfig under one name; `about` says in a line what they show."""

    name: str
    about: str
    settings: Mapping[str, Any]


PRESETS: dict[str, Preset] = {
    one.name: one
    for one in (
        Preset(
            "visible",
            "the real model learns to answer in a sentence or two, and then to stop",
            {
                "model": "smollm2",
                "data": "brief",
                "beta": 0.1,
                "lr": 5e-6,
                "epochs": 1,
                "held_out": 13,
            },
        ),
    )
}


def find_preset(name: str) -> Preset:
    """Raises WorkbenchError with the known names for another one."""
    if name not in PRESETS:
        raise WorkbenchError(f"preset={name!r} is unknown; accepted: {', '.join(PRESETS)}")
    return PRESETS[name]


def preset(name: str, **changes: Any) -> TrainConfig:
    """The settings of a preset; fields of TrainConfig that are given beside it win.

    >>> preset("visible", beta=0.2).beta
    0.2
    """
    return TrainConfig(**{**find_preset(name).settings, **changes})
