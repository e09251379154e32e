"""The settings that are swept: lists of values, or ranges from which a sampler draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from typing import Any, NamedTuple, TypeAlias

from workbench.data.reviews.config import ReviewsConfig
from workbench.errors import WorkbenchError
from workbench.runs.sweep import refuse_not_swept
from workbench.train.config import TrainConfig

FIELDS: dict[str, Field[Any]] = {
    part.name: part for part in (*fields(TrainConfig), *fields(ReviewsConfig))
}
NUMBERS = {"int": int, "float": float}


class Range(NamedTuple):
    """All numbers from `low` to `high`, both included; drawn in equal ratios where the setting is
    one that is moved in ratios, as the learning rate."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


Axes: TypeAlias = dict[str, "tuple[Any, ...] | Range"]


def kind_of(name: str) -> str:
    """The type of a setting: int, float, str or bool."""
    kind = FIELDS[name].type
    return (kind if isinstance(kind, str) else kind.__name__).split(" ")[0]


def in_ratios(name: str) -> bool:
    return bool(FIELDS[name].metadata.get("log"))


def read_axes(texts: Sequence[str]) -> Axes:
    """What the command line says: `beta=0.05,0.1`, or `lr=1e-6..1e-4` for a range.

    Raises:
        WorkbenchError: no such setting, no values, a text for a number, a setting twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise WorkbenchError(f"over={text!r} is not accepted: SETTING=VALUE,VALUE")
        if name in found:
            raise WorkbenchError(f"over names {name} twice; give all its values at once")
        low, dots, high = values.partition("..")
        refuse_not_swept(name)
        if dots and kind_of(name) in NUMBERS:
            found[name] = Range(_read(name, low), _read(name, high))
        else:
            found[name] = [_read(name, value.strip()) for value in values.split(",")]
    return checked_axes(found)


def checked_axes(over: Mapping[str, Any]) -> Axes:
    """The same settings, each with values that can be swept.

    Raises:
        WorkbenchError: see `read_axes`.
    """
    if not over:
        raise WorkbenchError("nothing is swept; give over, as beta=0.05,0.1")
    if not isinstance(over, Mapping):
        raise WorkbenchError(
            f"over={over!r} is not accepted: settings with their values, as {{'beta': [0.05, 0.1]}}"
        )
    return {name: _checked(name, values) for name, values in over.items()}


def _checked(name: str, values: Any) -> tuple[Any, ...] | Range:
    refuse_not_swept(name)
    if isinstance(values, Range):
        if kind_of(name) not in NUMBERS:
            raise WorkbenchError(f"over {name}={values} is not accepted: {name} is no number")
        if not values.low < values.high:
            raise WorkbenchError(f"over {name}={values} is not accepted: the smaller number first")
        return values
    if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
        raise WorkbenchError(f"over {name}={values!r} is not accepted: a list of values")
    if odd := [value for value in values if not isinstance(value, bool | int | float | str)]:
        raise WorkbenchError(f"over {name}={odd[0]!r} is not accepted: a number, a text or a bool")
    if len(set(values)) < len(values) or len(set(map(repr, values))) < len(values):
        raise WorkbenchError(f"over {name}={list(values)!r} holds a value twice")
    return tuple(values)


def _read(name: str, text: str) -> Any:
    """A value of the setting's type."""
    kind = kind_of(name)
    try:
        if not text:
            raise ValueError
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        return NUMBERS[kind](text) if kind in NUMBERS else text
    except (ValueError, KeyError):
        wanted = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        raise WorkbenchError(
            f"over {name}={text!r} is not accepted: {wanted.get(kind, 'a value')}"
        ) from None
