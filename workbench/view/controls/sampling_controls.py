"""How tokens are chosen, as widgets: one for every field of `SamplingConfig`."""

from __future__ import annotations

from dataclasses import fields

import ipywidgets as widgets

from workbench.generation.config import SamplingConfig
from workbench.view.controls.fields import control

FIRST = ("temperature", "seed")  # settings shown first; the others are folded
NAMES = {"max_new_tokens": "longest answer", "contrast_alpha": "contrast", "stop": "stop strings"}


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


def described(sampling: SamplingConfig) -> str:
    """The settings in one line: temperature, seed, and those that differ from the default.

    >>> described(SamplingConfig(top_k=5, stop=("\\n",)))
    "temperature 1 · seed 0 · top k 5 · stop strings '\\\\n'"
    """
    parts = []
    for part in sorted(fields(sampling), key=lambda part: part.name not in FIRST):
        value = getattr(sampling, part.name)
        if part.name in FIRST or value != part.default:
            parts.append(f"{_name(part.name)} {_written(value)}")
    return " · ".join(parts)


def _written(value: float | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(repr, value))
    return str(value) if isinstance(value, int) else f"{value:g}"


def _name(field: str) -> str:
    return NAMES.get(field, field.replace("_", " "))


def _widget(sampling: SamplingConfig, name: str) -> widgets.DOMWidget:
    if name == "stop":
        lines = "\n".join(text.replace("\n", "\\n") for text in sampling.stop)
        hint = "one per line; \\n for a new line"
        box = widgets.Textarea(value=lines, description=_name(name), placeholder=hint, rows=2)
        return box.add_class("wb-stop-strings")
    return control(sampling, name, _name(name))
