"""Why a row cannot be used, and the fields that are looked at for it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from reprlib import repr
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]


class UnusableError(Exception):
    """Why a row cannot become a pair; the reader of the file skips that row."""


def as_object(row: Any) -> Row:
    """The row, where it is one."""
    if isinstance(row, UnusableError):
        raise row
    if not isinstance(row, dict):
        raise UnusableError(f"the row is {type(row).__name__}, expected an object")
    return row


def text_of(row: Row, name: str) -> str:
    """The text in a field."""
    if name not in row:
        raise UnusableError(f"no field {name!r}")
    if not isinstance(row[name], str):
        raise UnusableError(f"field {name!r} is {type(row[name]).__name__}, expected text")
    return row[name]


def is_given(value: Any) -> bool:
    """Whether a field holds something; tables have NaN where nothing was given."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def number_of(value: Any, name: str) -> float:
    """A number, also one that a table holds as text."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UnusableError(f"{name} is {repr(value)}, expected a number")
    return number


def group_of(row: Row) -> str:
    """What rows of it are held out together by: a text, or the JSON of another value; empty
    without."""
    value = row.get("group")
    if not is_given(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def is_unicode(text: str) -> bool:
    """Whether a text can be encoded: JSON can contain unpaired surrogates, which can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_texts(**texts: str | None) -> None:
    """Raise for a text that is empty, or that can't be encoded; `system` may be empty."""
    for name, text in texts.items():
        if name != "system" and not (text or "").strip():
            raise UnusableError(f"{name} is empty")
        if text is not None and not is_unicode(text):
            raise UnusableError(f"{name} holds half of a Unicode character")
