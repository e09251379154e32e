"""Conversations as prompt and completions: which messages come before, and which are scored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from workbench.data.layouts.messages import Dialogue, Message, transcript
from workbench.data.layouts.unusable import Row, UnusableError, is_given, is_unicode, text_of


class Parts(NamedTuple):
    """The texts of a row: a prompt and its completions, one or two.

    `gap` is by how much the score of the first one is higher, where there are scores.
    """

    prompt: str
    completions: tuple[str, ...]
    system: str | None = None
    dialogue: Dialogue | None = None
    gap: float | None = None


def divide(row: Row, conversations: Sequence[Sequence[Message]], turns: str) -> Parts:
    """Prompt and completions of whole conversations, which begin alike.

    With `turns` "last" a completion is the last message; with "every" it is everything from the
    assistant's first message on.
    """
    if isinstance(row.get("system"), str) and not row["system"].strip():
        row = {**row, "system": None}  # as tables have it where nothing was given
    for messages in conversations:
        if not messages or messages[-1].role != "assistant":
            raise UnusableError("the last message is not the assistant's")
    ends = [len(messages) - 1 for messages in conversations]
    if turns == "every":
        roles = [[message.role for message in messages] for messages in conversations]
        ends = [found.index("assistant") for found in roles]
    first, *others = ([*one[:end]] for one, end in zip(conversations, ends, strict=True))
    if any(other != first for other in others):
        again = turns == "last" and any(
            m.role == "assistant" for one in (first, *others) for m in one
        )
        more = "; --turns every scores all turns of the assistant" if again else ""
        raise UnusableError(f"chosen and rejected follow different messages{more}")
    sides = tuple(tuple(one[end:]) for one, end in zip(conversations, ends, strict=True))
    said = [[one for one in side if one.role == "assistant"] for side in sides]
    if len(said) > 1 and said[0] == said[1]:
        raise UnusableError("chosen and rejected are identical in what the assistant says")
    return asked(row, first, sides)


def asked(row: Row, before: Sequence[Message], sides: tuple[tuple[Message, ...], ...]) -> Parts:
    """The parts of a row whose completions, if any, follow these messages."""
    system, messages = system_of(row, before)
    if not messages:
        raise UnusableError("no prompt: no column of that name, no message before the completion")
    if any(message.role == "system" for message in messages):
        raise UnusableError("a system message stands behind the first message")
    if messages[-1].role == "assistant":
        raise UnusableError("the last message before the completion is the assistant's own")
    tools = _tools(row)
    simple = len(messages) == 1 and not tools and all(len(side) == 1 for side in sides)
    plain = not any(message.more for side in (messages, *sides) for message in side)
    dialogue = None if simple and plain else Dialogue(tuple(messages), sides, tools)
    return Parts(transcript(messages), tuple(map(transcript, sides)), system, dialogue)


def system_of(row: Row, messages: Sequence[Message]) -> tuple[str | None, list[Message]]:
    """The system message, the first one or in a column of its own, and the others."""
    given = row.get("system")
    own = text_of(row, "system") if is_given(given) else None
    has_own = bool(messages) and messages[0].role == "system"
    if not has_own:
        return own, list(messages)
    first = messages[0].content
    if own is not None and own.strip() not in ("", first.strip()):
        raise UnusableError("system and the system message of the conversation differ")
    return first, list(messages[1:])


def _tools(row: Row) -> str:
    """JSON of the column `tools`, a list or its JSON; empty without."""
    tools = row.get("tools")
    if not is_given(tools) or tools in ("", []):
        return ""
    try:
        listed = json.loads(tools) if isinstance(tools, str) else tools
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        raise UnusableError("tools is not a list of tools, nor the JSON of one")
    found = json.dumps(listed, ensure_ascii=False) if listed else ""
    if not is_unicode(found):
        raise UnusableError("tools holds half of a Unicode character")
    return found
