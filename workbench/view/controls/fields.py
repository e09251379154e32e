"""Fields of a configuration as widgets: a field's metadata decides which widget sets it."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import ipywidgets as widgets

from workbench.view.controls.number import NumberControl

FEW = 100  # whole numbers in a range that gets a slider; more are typed


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
    else:
        widget = number(
            value, low, high, log=bool(facts.get("log")), whole=isinstance(value, int), **about
        )
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


def number(
    value: float, low: float, high: float, whole: bool = False, **traits: Any
) -> NumberControl:
    """A number from `low` to `high` with steps that are round: 1, 2 or 5 times a power of ten.

    A value beyond the range widens it.
    """
    low, high = min(low, value), max(high, value)
    step = 1 if whole else round_step((high - low) / 100)
    slider = not whole or high - low <= FEW
    return NumberControl(
        value=value, min=low, max=high, whole=whole, **{"step": step, "slider": slider} | traits
    )


def round_step(length: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is no longer.

    >>> [round_step(length) for length in (0.0049, 0.05, 9.9, 1)]
    [0.002, 0.05, 5.0, 1.0]
    """
    power = math.floor(math.log10(length) + 1e-9)
    return max(
        step for digit in (1, 2, 5) if (step := float(f"{digit}e{power}")) <= length * (1 + 1e-9)
    )
