"""How tokens are chosen, as widgets: one for every field of `SamplingConfig`."""

from __future__ import annotations

from dataclasses import fields

import ipywidgets as widgets

from workbench.generation.config import SamplingConfig
from workbench.generation.shown import name_of
from workbench.view.controls.fields import control

FIRST = ("temperature", "max_new_tokens", "seed")  # settings shown first; the others are folded


class SamplingControls:
    """One widget per field, by name in `widgets`; `value` is what they are set to."""

    def __init__(self, sampling: SamplingConfig) -> None:
        self.widgets = {part.name: _widget(sampling, part.name) for part in fields(sampling)}

    @property
    def value(self) -> SamplingConfig:
        """What is set; raises WorkbenchError for what does not go together."""
        found = {name: widget.value for name, widget in self.widgets.items()}
        lines = [line.replace("\\n", "\n") for line in found.pop("stop").split("\n")]
        return SamplingConfig(**found, stop=tuple(filter(None, lines)))

    def fold(self) -> widgets.Accordion:
        """All but the first, folded."""
        others = [widget for name, widget in self.widgets.items() if name not in FIRST]
        grid = widgets.Box(others).add_class("wb-grid")
        return widgets.Accordion([grid], titles=["More settings of sampling"]).add_class("wb-more")


def _widget(sampling: SamplingConfig, name: str) -> widgets.DOMWidget:
    if name == "stop":
        lines = "\n".join(text.replace("\n", "\\n") for text in sampling.stop)
        hint = "one per line; \\n for a new line"
        box = widgets.Textarea(value=lines, description=name_of(name), placeholder=hint, rows=2)
        return box.add_class("wb-stop-strings")
    return control(sampling, name, name_of(name))
