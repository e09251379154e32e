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
            "the real model learns to answer in a sentence or two, at the price of some facts; "
            "about three minutes on two cores",
            {
                "model": "smollm2",
                "data": "brief",
                "loss": "dpo",
                "beta": 0.3,
                "ld_alpha": 0.0,
                "lr": 4e-6,
                "schedule": "linear",
                "epochs": 3,
                "held_out": 20,
            },
        ),
        # On the embedded reviews; figures of held-out pairs and samples at the end, seeds 0 to 2.
        Preset(
            "small-world",
            "ends 3.9 to 4.3 nats from the reference; accuracy 0.81 to 0.84; 89 to 92% of its "
            "answers are grammatical",
            {"loss": "dpo", "beta": 0.1, "lr": 5e-4},
        ),
        Preset(
            "beta-too-small",
            "little holds the policy back: it ends 6 to 18 nats from the reference, accuracy falls "
            "to 0.77, and 66 to 88% of its answers are grammatical",
            {"loss": "dpo", "beta": 0.005, "lr": 5e-4},
        ),
        Preset(
            "lr-too-high",
            "the curves of loss and accuracy (0.82 to 0.85) look well, but it ends 90 to 140 nats "
            "from the reference, and none of its answers is grammatical",
            {"loss": "dpo", "beta": 0.1, "lr": 1e-2},
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
