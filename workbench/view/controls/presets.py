"""Named settings to start from, each with what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from workbench.train.config import TrainConfig
from workbench.view.html.render import render

OWN = "own settings"


@dataclass(frozen=True)
class Preset:
    """Some settings of `TrainConfig`.

    Attributes:
        shows: what they lead to. Figures are those of held-out pairs and samples at the end of the
            run, over the seeds 0, 1 and 2.
    """

    shows: str
    settings: dict[str, Any]


TINY = {
    "lesson's default": Preset(
        "ends 3.9 to 4.3 nats from the reference; accuracy 0.81 to 0.84; 89 to 92% of its answers "
        "are grammatical",
        {"loss": "dpo", "beta": 0.1, "lr": 5e-4},
    ),
    "beta too small": Preset(
        "little holds the policy back: it ends 6 to 18 nats from the reference, accuracy falls to "
        "0.77, and 66 to 88% of its answers are grammatical",
        {"loss": "dpo", "beta": 0.005, "lr": 5e-4},
    ),
    "learning rate too high": Preset(
        "the curves of loss and accuracy (0.82 to 0.85) look well, but it ends 90 to 140 nats from "
        "the reference, and none of its answers is grammatical",
        {"loss": "dpo", "beta": 0.1, "lr": 1e-2},
    ),
}


def presets_for(config: TrainConfig) -> dict[str, Preset]:
    """The presets by name that were tried on this model and data; none for most."""
    return TINY if (config.model, config.data) == ("tiny", "reviews") else {}


class PresetMenu:
    """A menu of presets, hidden where there are none, and what the chosen one shows.

    Args:
        choose: called with the settings of the preset that a person chooses.
    """

    def __init__(self, config: TrainConfig, choose: Callable[[dict[str, Any]], None]) -> None:
        self._presets, self._choose = presets_for(config), choose
        self.menu = widgets.Dropdown(options=[OWN, *self._presets], description="preset")
        self.menu.add_class("wb-presets").layout.display = None if self._presets else "none"
        self.about = widgets.HTML().add_class("wb-about-preset")
        self.menu.observe(self._take, "value")

    def _take(self, change: dict[str, Any]) -> None:
        preset = self._presets.get(change["new"])
        self.about.value = "" if preset is None else render("line", text=preset.shows)
        if preset is not None:
            self._choose(preset.settings)

    def leave(self, settings: dict[str, Any]) -> None:
        """Take note that settings were changed: by a person, or by the chosen preset itself."""
        chosen = self._presets.get(self.menu.value)
        if chosen is not None and chosen.settings != settings:
            self.menu.value = OWN
