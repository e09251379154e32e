"""Messages of a conversation, as files have them and as chat templates take them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr
from typing import Any, NamedTuple

from workbench.data.layouts.unusable import Row, UnusableError, is_unicode, text_of

ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant",
    "function_call": "assistant", "tool": "tool", "function": "tool", "observation": "tool",
}  # fmt: skip
KEPT = (
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "reasoning_content",
    "thinking",
)  # beside role and content, what templates read
SPEAKERS = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


class Message(NamedTuple):
    """One message; `more` is the JSON of what else the chat template reads, such as tool calls."""

    role: str
    content: str
    more: str = ""

    def for_template(self) -> dict[str, Any]:
        """As a chat template takes it."""
        return {"role": self.role, "content": self.content, **json.loads(self.more or "{}")}

    @property
    def shown(self) -> str:
        """The content, and what else there is, as text."""
        return " ".join(filter(None, [self.content, self.more]))


@dataclass(frozen=True)
class Dialogue:
    """What is more than one question with its answers.

    Attributes:
        before: the messages before the completions, without the system message.
        sides: the messages of each completion; those of the assistant are scored.
        tools: JSON of the tools that the chat template lists; empty: none.
    """

    before: tuple[Message, ...]
    sides: tuple[tuple[Message, ...], ...]
    tools: str = ""


def transcript(messages: Sequence[Message]) -> str:
    """Messages as one text; a single one without its role.

    >>> transcript([Message("user", "Why?"), Message("assistant", "So.")])
    'user: Why?\\n\\nassistant: So.'
    """
    if len(messages) == 1:
        return messages[0].shown
    return "\n\n".join(f"{message.role}: {message.shown}" for message in messages)


def parse_transcript(text: str) -> list[Message]:
    """The messages of a text such as "Human: ... Assistant: ...", each after an empty line.

    >>> [one.content for one in parse_transcript("\\n\\nHuman: Why?\\n\\nAssistant: Because.")]
    ['Why?', 'Because.']
    """
    before, *pieces = TURN.split(text)
    if before.strip() or not pieces:
        return [Message("assistant", text)]
    roles = [SPEAKERS[name] for name in pieces[::2]]
    return list(map(Message, roles, map(str.strip, pieces[1::2])))


def asks_in_transcript(text: str) -> bool:
    """Whether a text is a transcript that ends where the assistant answers."""
    return bool(TURN.match(text.strip())) and text.rstrip().endswith("\n\nAssistant:")


def as_messages(row: Row, name: str, role: str) -> list[Message]:
    """The messages in a field: a text of this role, one message, or a list of them."""
    value = row.get(name)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return [Message(role, text_of(row, name))]
    if not value:
        raise UnusableError(f"field {name!r} has no messages")
    found = []
    for number, one in enumerate(value, start=1):
        if not isinstance(one, Mapping):
            raise UnusableError(f"field {name!r} holds a message that is not an object")
        try:
            found.append(_message(one))
        except UnusableError as error:
            raise UnusableError(f"{name}, message {number}: {error}") from None
    return found


def _message(value: Mapping[str, Any]) -> Message:
    keys = ("from", "value") if "role" not in value and "from" in value else ("role", "content")
    given = text_of(value, keys[0])
    if given.lower() not in ROLES:
        raise UnusableError(f"the role {repr(given)}; accepted are {', '.join(ROLES)}")
    kept = {key: value[key] for key in KEPT if value.get(key) is not None}
    more = json.dumps(kept, ensure_ascii=False) if kept else ""
    if not is_unicode(more):
        raise UnusableError("half of a Unicode character")
    calls = "tool_calls" in kept or "function_call" in kept
    return Message(ROLES[given.lower()], _content(value, keys[1], calls), more)


def _content(message: Mapping[str, Any], key: str, calls: bool) -> str:
    """The text of a message, also of one that is given in parts; none beside tool calls."""
    content = message.get(key)
    if content is None and calls:
        return ""
    if not isinstance(content, list):
        return text_of(message, key)
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        if kind != "text":
            raise UnusableError(f"field {key!r} holds a part of type {kind!r}; accepted is text")
    return "".join(text_of(part, "text") for part in content)
