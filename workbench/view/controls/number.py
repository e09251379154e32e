"""A number that a person sets: a slider, and a field that takes any exact value."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.errors import WorkbenchError

FOLDER = Path(__file__).parent


class _Number(traitlets.TraitType[Any, Any]):
    """The value of a `NumberControl`."""

    def validate(self, control: Any, value: Any) -> float:
        """An int or a float, as the control asks; raises WorkbenchError for what it refuses."""
        number = not isinstance(value, bool) and isinstance(value, int | float)
        fits = number and control.min <= value <= control.max and not (control.whole and value % 1)
        if not fits or (control.choices and value not in control.choices):
            raise WorkbenchError(
                f"{control.description} must be {_accepted(control)}, not {value!r}"
            )
        return int(value) if control.whole else float(value)


def _accepted(control: NumberControl) -> str:
    if control.choices:
        return "one of " + ", ".join(f"{choice:.15g}" for choice in control.choices)
    return ("a whole number " * control.whole) + f"from {control.min:.15g} to {control.max:.15g}"


class NumberControl(anywidget.AnyWidget):
    """A label, a slider and a field to type in; `value` changes while the slider is dragged.

    Keys and dragging land on round numbers; a value that is typed or given is kept exactly. What a
    person types out of range is refused in words beside the field, and `value` stays as it was.
    The browser sends the newest value once the last one has arrived.

    Attributes:
        value: float, or int where `whole`. Setting it raises WorkbenchError out of range.
        min, max: the range, inclusive; narrowing it moves a value that is then outside.
        step: of the keys, and of dragging; not used where `log`.
        choices: the only values accepted, ascending; empty: all in the range.
        log: whether the slider moves in equal ratios; then `min` is above 0.
        whole: whether only whole numbers are accepted.
        slider: whether there is one, beside the field.
        description: the label.
        tooltip: what the number means.
        unit: text behind the field.
    """

    _esm = FOLDER / "number.js"
    _css = FOLDER / "number.css"
    value = _Number(0.0).tag(sync=True)
    min = traitlets.Float(0.0).tag(sync=True)
    max = traitlets.Float(1.0).tag(sync=True)
    step = traitlets.Float(0.01).tag(sync=True)
    log = traitlets.Bool(False).tag(sync=True)
    choices = traitlets.List(traitlets.Float()).tag(sync=True)
    whole = traitlets.Bool(False).tag(sync=True)
    slider = traitlets.Bool(True).tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    tooltip = traitlets.Unicode().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(self, value: float = 0.0, **traits: Any) -> None:
        self._showing: int | None = None  # the thread that shows a value
        super().__init__(**traits, value=value)  # last, for it depends on the others

    def show(self, value: float) -> None:
        """Show a value without telling those who observe the person's changes.

        A value beyond the range widens it.
        """
        self._showing = threading.get_ident()
        try:
            self.min, self.max = min(self.min, value), max(self.max, value)
            self.value = value
        finally:
            self._showing = None

    def notify_change(self, change: Any) -> None:
        """Tell the observers, and the browser; of a value that is shown the browser alone."""
        if change["name"] == "value" and self._showing == threading.get_ident():
            self.send_state("value")
        else:
            super().notify_change(change)

    @traitlets.observe("min", "max")
    def _stay_within(self, change: Any) -> None:
        self.value = min(max(self.value, self.min), self.max)
