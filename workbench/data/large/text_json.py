"""The texts of a row as JSON, all of their fields."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from workbench.data.completions import TextCompletion
from workbench.data.layouts.messages import Dialogue, Message
from workbench.data.pairs import TextPair

Text: TypeAlias = TextPair | TextCompletion
ENCODE = json.JSONEncoder(ensure_ascii=False).encode
TEXTS: dict[str, type[Text]] = {kind.__name__: kind for kind in (TextPair, TextCompletion)}


def to_json(text: Text) -> bytes:
    """A text without its row and the fields that are empty; messages are lists of their fields.

    A system message that is empty stays: without one, chat templates may write their own.
    """
    values: dict[str, Any] = {
        name: value
        for name, value in vars(text).items()
        if name != "row" and value is not None and (value != "" or name == "system")
    }
    if (talk := text.dialogue) is not None:
        values["dialogue"] = [talk.before, talk.sides, talk.tools]
    return ENCODE(values).encode("utf-8", "surrogatepass")


def from_json(kind: str, content: bytes, row: int) -> Text:
    """The text that `to_json` was given, of this row; `kind` is the name of its class.

    >>> pair = TextPair("Why?", "So.", "No.", row=3)
    >>> from_json("TextPair", to_json(pair), 3) == pair
    True
    """
    values = json.loads(content.decode("utf-8", "surrogatepass"))
    if "dialogue" in values:
        before, sides, tools = values["dialogue"]
        values["dialogue"] = Dialogue(_messages(before), tuple(map(_messages, sides)), tools)
    empty = {"prompt": "", "chosen": "", "rejected": ""}
    if kind == "TextCompletion":
        empty = {"prompt": "", "completion": ""}
    return TEXTS[kind](**{**empty, **values, "row": row})


def _messages(values: list[list[str]]) -> tuple[Message, ...]:
    return tuple(Message(*one) for one in values)
