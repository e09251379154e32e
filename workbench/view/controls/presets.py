"""The menu of presets: named settings to start from, each with what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from workbench.core.losses import all_parameters
from workbench.train.config import PRESETS, Preset, TrainConfig, preset
from workbench.view.html.render import render

OWN = "own settings"
LIVE = {"loss", "lr", *all_parameters()}  # settings that a dashboard offers


def presets_for(config: TrainConfig) -> dict[str, Preset]:
    """The presets by name that are of this model and data; none for most."""
    made = {name: preset(name) for name in PRESETS}
    suits = (config.model, config.data)
    return {name: PRESETS[name] for name, one in made.items() if (one.model, one.data) == suits}


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
        chosen = self._presets.get(change["new"])
        self.about.value = "" if chosen is None else render("line", text=chosen.about)
        if chosen is not None:
            self._choose(_live(chosen))

    def leave(self, settings: dict[str, Any]) -> None:
        """Take note that settings were changed: by a person, or by the chosen preset itself."""
        chosen = self._presets.get(self.menu.value)
        if chosen is not None and _live(chosen) != settings:
            self.menu.value = OWN


def _live(chosen: Preset) -> dict[str, Any]:
    return {name: value for name, value in chosen.settings.items() if name in LIVE}
