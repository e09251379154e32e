"""Fields of a configuration as widgets: a field's metadata decides which widget sets it."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import ipywidgets as widgets

LOG_STEP = 0.05  # of the exponent: 20 key presses for a factor of ten


def control(config: Any, name: str, description: str | None = None) -> widgets.DOMWidget:
    """The widget for one field of a dataclass, showing the value that `config` has.

    The field's metadata may hold `help`, `low` and `high` (inclusive), `log` and `choices`; a value
    beyond the range widens it, for a value that was given is never changed. The value may not be
    None.
    """
    field = next(part for part in fields(config) if part.name == name)
    facts, value = field.metadata, getattr(config, name)
    about = {"description": description or name, "tooltip": facts.get("help", "")}
    low, high = facts.get("low"), facts.get("high")
    if facts.get("choices"):
        options = [*facts["choices"], *({value} - {None, *facts["choices"]})]
        widget = widgets.Dropdown(options=options, value=value, **about)
    elif isinstance(value, bool):
        widget = widgets.Checkbox(value=value, indent=False, **about)
    elif low is None or high is None:
        widget = widgets.Text(value=str(value), **about)
    elif facts.get("log"):
        widget = log_slider(value, low, high, about)
    elif isinstance(value, int):
        widget = widgets.BoundedIntText(
            value=value, min=min(low, value), max=max(high, value), **about
        )
    else:
        widget = slider(value, min(low, value), max(high, value), about)
    return widget.add_class(f"wb-{name.replace('_', '-')}")


def text_fields(at_once: bool = True, **texts: str) -> dict[str, widgets.Textarea]:
    """Fields to type in, by name; not `at_once`: their value changes when the field is left."""
    return {  # more than one line, since line ends make tokens too
        name: widgets.Textarea(
            value=text, description=name, rows=1, continuous_update=at_once,
            layout=widgets.Layout(width="auto"),
        ).add_class("wb-wide")
        for name, text in texts.items()
    }  # fmt: skip


def checkbox(label: str, value: bool, tip: str = "") -> widgets.Checkbox:
    """A checkbox as wide as its label."""
    auto = widgets.Layout(width="auto")
    return widgets.Checkbox(value=value, description=label, tooltip=tip, indent=False, layout=auto)


def slider(value: float, low: float, high: float, about: dict[str, str]) -> widgets.FloatSlider:
    """A slider of some 100 equal steps; `about` holds its description and tooltip."""
    step = (high - low) / 100
    if value > low:  # the browser moves in steps from `min`, so they must hit the value
        step = (value - low) / max(1, round((value - low) / step))
    return widgets.FloatSlider(
        value=value, min=low, max=high, step=step, readout_format=".3g", **about
    )


def log_slider(
    value: float, low: float, high: float, about: dict[str, str]
) -> widgets.FloatLogSlider:
    """A logarithmic slider; `about` holds its description and tooltip."""
    exponent = math.log10(value)
    below = math.floor((exponent - math.log10(min(low, value))) / LOG_STEP + 1e-9)
    return widgets.FloatLogSlider(
        value=value,
        # The browser moves in steps from `min`, so they must hit the value. Rounding must not push
        # it beyond the ends, or it would be changed.
        min=exponent - below * LOG_STEP - 1e-9,
        max=math.log10(max(high, value)) + 1e-9,
        step=LOG_STEP,
        readout_format=".3g",
        continuous_update=True,  # the browser sends the newest value once the last one has arrived
        **about,
    )
