"""The column layouts of preference files: a new layout is one entry in `LAYOUTS`.

A layout names its columns and reads a row that has them. Whether the texts of the row are usable is
checked in `pairs.py`.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError

Row = Mapping[str, Any]
NAMES = (
    "prompt", "chosen", "rejected", "instruction", "input", "system", "group", "completion", "label"
)  # fmt: skip
SPEAKERS = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


class UnusableError(Exception):
    """Why a row cannot become a pair; the reader of the file skips that row."""


class Parts(NamedTuple):
    """The texts of a row."""

    prompt: str
    chosen: str
    rejected: str
    system: str | None = None


@dataclass(frozen=True)
class Layout:
    """A set of columns, and how a row that has them is read."""

    columns: tuple[str, ...]
    read: Callable[[Row], Parts]


def _read_prompt(row: Row) -> Parts:
    if any(isinstance(row.get(name), list) for name in ("prompt", "chosen", "rejected")):
        parts = _read_conversation(row)
        _refuse_other_prompt(row)
        return parts
    return _read_texts(row)


def _read_texts(row: Row) -> Parts:
    system = text_of(row, "system") if row.get("system") is not None else None
    return Parts(text_of(row, "prompt"), text_of(row, "chosen"), text_of(row, "rejected"), system)


def _read_instruction(row: Row) -> Parts:
    extra = text_of(row, "input") if row.get("input") is not None else ""
    prompt = text_of(row, "instruction")
    if prompt.strip() and extra.strip():
        prompt = f"{prompt}\n\n{extra}"
    row = {**row, "prompt": prompt}
    sides = row.get("chosen"), row.get("rejected")
    return _read_conversation(row) if any(isinstance(s, list) for s in sides) else _read_texts(row)


def _read_conversation(row: Row) -> Parts:
    """Chat messages, or a transcript of both speakers: the prompt is all but the last message, and
    the same for both sides."""
    *context, chosen = _messages(row, "chosen")
    *other_context, rejected = _messages(row, "rejected")
    if context != other_context:
        raise UnusableError("chosen and rejected follow different messages")
    if chosen[0] != "assistant" or rejected[0] != "assistant":
        raise UnusableError("the last message is not the assistant's")
    roles = [role for role, _ in context]
    if not roles:
        raise UnusableError("no prompt: no column of that name, no message before the completion")
    if roles not in (["user"], ["system", "user"]):
        raise UnusableError(
            f"multi-turn: {' + '.join(roles)} before the completion, "
            "accepted are user or system + user"
        )
    if isinstance(row.get("system"), str) and not row["system"].strip():
        row = {**row, "system": None}  # as tables have it where nothing was given
    return Parts(context[-1][1], chosen[1], rejected[1], system_of(row, context))


def _refuse_other_prompt(row: Row) -> None:
    """Raise where the prompt as text has nothing of what the user says in the conversation."""
    own, chosen = row.get("prompt"), row.get("chosen")
    if not isinstance(own, str) or not own.strip() or not isinstance(chosen, list):
        return
    messages = as_messages(row, "chosen", "assistant")
    asked = [text.strip() for role, text in messages if role == "user" and text.strip()]
    if asked and not any(text in own for text in asked):
        raise UnusableError("prompt has none of the user's messages in chosen")


LAYOUTS = (
    Layout(("prompt", "chosen", "rejected"), _read_prompt),
    Layout(("instruction", "chosen", "rejected"), _read_instruction),
    Layout(("chosen", "rejected"), _read_conversation),
)


def parse_columns(text: str | None) -> dict[str, str]:
    """The columns of a file by the names that are meant: "prompt=question,chosen=best".

    >>> parse_columns("prompt=question, chosen=best")
    {'question': 'prompt', 'best': 'chosen'}
    """
    found: dict[str, str] = {}
    for part in filter(str.strip, (text or "").split(",")):
        ours, equals, theirs = map(str.strip, part.partition("="))
        if not equals or not theirs or ours not in NAMES or theirs in found:
            raise WorkbenchError(
                f"columns={text!r} is not accepted: NAME=COLUMN,..., each column once, with a name "
                f"of {', '.join(NAMES)}"
            )
        found[theirs] = ours
    return found


def renamed(rows: Sequence[Any], columns: Mapping[str, str]) -> list[Any]:
    """The rows with their columns renamed; what had the new name before gives way."""
    gone = {*columns, *columns.values()}
    return [
        {
            **{name: value for name, value in row.items() if name not in gone},
            **{ours: row[theirs] for theirs, ours in columns.items() if theirs in row},
        }
        if isinstance(row, dict)
        else row
        for row in rows
    ]


def find_layout(rows: Sequence[Any]) -> Layout | None:
    """The first layout whose columns are all in at least one row."""
    columns = [set(row) for row in rows if isinstance(row, dict)]
    fitting = (
        layout for layout in LAYOUTS if any(names.issuperset(layout.columns) for names in columns)
    )
    return next(fitting, None)


def as_object(row: Any) -> Row:
    """The row, where it is one."""
    if isinstance(row, UnusableError):
        raise row
    if not isinstance(row, dict):
        raise UnusableError(f"the row is {type(row).__name__}, expected an object")
    return row


def text_of(row: Row, name: str) -> str:
    if name not in row:
        raise UnusableError(f"no field {name!r}")
    if not isinstance(row[name], str):
        raise UnusableError(f"field {name!r} is {type(row[name]).__name__}, expected text")
    return row[name]


def group_of(row: Row) -> str:
    """What pairs of it are held out together by: a text, or the JSON of another value; empty
    without."""
    value = row.get("group")
    if value is None or value != value:  # NaN, as a table has it where nothing was given
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _messages(row: Row, name: str) -> list[tuple[str, str]]:
    """The conversation of one side as (role, text), including a prompt in a column of its own.

    A prompt as text next to a side with a whole conversation only repeats one of its messages.
    """
    if row.get("prompt") is None and isinstance(row.get(name), str):
        return _transcript(row[name])
    side = as_messages(row, name, "assistant")
    if row.get("prompt") is None:
        return side
    if isinstance(row["prompt"], str) and len(side) > 1:
        return side
    return as_messages(row, "prompt", "user") + side


def _transcript(text: str) -> list[tuple[str, str]]:
    """The messages of a text such as "Human: ... Assistant: ...", each after an empty line.

    >>> _transcript("\\n\\nHuman: Why?\\n\\nAssistant: Because.")
    [('user', 'Why?'), ('assistant', 'Because.')]
    """
    before, *pieces = TURN.split(text)
    if before.strip() or not pieces:
        return [("assistant", text)]
    roles = [SPEAKERS[name] for name in pieces[::2]]
    return list(zip(roles, map(str.strip, pieces[1::2]), strict=True))


def system_of(row: Row, messages: Sequence[tuple[str, str]]) -> str | None:
    """The system message: the first of the messages, or in a column of its own."""
    given = row.get("system")
    own = None if given is None or given != given else text_of(row, "system")
    first = messages[0][1] if messages and messages[0][0] == "system" else None
    if own is not None and first is not None and own.strip() not in ("", first.strip()):
        raise UnusableError("system and the system message of the conversation differ")
    return own if first is None else first


def as_messages(row: Row, name: str, role: str) -> list[tuple[str, str]]:
    if not isinstance(row.get(name), list):
        return [(role, text_of(row, name))]
    for message in row[name]:
        if not isinstance(message, dict):
            raise UnusableError(f"field {name!r} holds a message that is not an object")
    messages = [(text_of(message, "role"), text_of(message, "content")) for message in row[name]]
    if not messages:
        raise UnusableError(f"field {name!r} has no messages")
    return messages
