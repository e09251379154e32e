"""Fields of a configuration: what flags and widgets know of them, and which values they accept."""

from __future__ import annotations

from dataclasses import Field, field
from typing import Any

from workbench.errors import WorkbenchError


def setting(
    default: Any,
    help: str,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    choices: tuple[str, ...] = (),
    open: bool = False,
    path: bool = False,
) -> Any:
    """A dataclass field with what flags and widgets need to know.

    The range is inclusive; `open` where more than the `choices` is accepted; `path` where a path is
    accepted, maybe beside names.
    """
    facts = {"help": help, "low": low, "high": high, "log": log, "choices": choices, "open": open}
    return field(default=default, metadata={**facts, "path": path})


def check_field(part: Field[Any], value: Any) -> None:
    """Raise for a value of another type, out of range or not among the choices."""
    name, facts, kind = part.name, part.metadata, str(part.type).split(" ")[0]
    if facts["choices"] and value not in facts["choices"]:
        accepted = ", ".join(facts["choices"])
        raise WorkbenchError(f"{name}={value!r} is unknown; accepted: {accepted}")
    if kind == "str" and not (isinstance(value, str) and value and _is_writable(value)):
        raise WorkbenchError(f"{name}={value!r} is not accepted: a text of Unicode characters")
    if kind == "bool" and not isinstance(value, bool):
        raise WorkbenchError(f"{name}={value!r} is not accepted: True or False")
    if facts["low"] is not None:
        _check_number(name, value, whole=kind == "int", low=facts["low"], high=facts["high"])


def _check_number(name: str, value: Any, whole: bool, low: float, high: float) -> None:
    numeric = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not (numeric and low <= value <= high):
        number = "a whole number from " if whole else ""
        raise WorkbenchError(f"{name}={value!r} is not accepted: {number}{low:g} to {high:g}")


def _is_writable(text: str) -> bool:
    """Half a Unicode character can't be written into the run's config, nor NUL into a path."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
