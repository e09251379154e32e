"""The messages of a row whose prompt and completions stand in columns of their own."""

from __future__ import annotations

from typing import Any

from workbench.data.layouts.messages import (
    Message,
    as_messages,
    asks_in_transcript,
    parse_transcript,
)
from workbench.data.layouts.unusable import Row, UnusableError, is_given, text_of


def instruction_of(row: Row) -> str:
    extra = text_of(row, "input") if is_given(row.get("input")) else ""
    prompt = text_of(row, "instruction")
    return f"{prompt}\n\n{extra}" if prompt.strip() and extra.strip() else prompt


def earlier_turns(row: Row) -> list[dict[str, Any]]:
    """Earlier turns, each a question and its answer."""
    turns = row["history"]
    fits = isinstance(turns, list) and all(isinstance(t, list) and len(t) == 2 for t in turns)
    if not fits:
        raise UnusableError("history is no list of questions with their answers, two texts each")
    roles = ("user", "assistant")
    return [{"role": r, "content": t} for turn in turns for r, t in zip(roles, turn, strict=True)]


def side_messages(row: Row, name: str) -> list[Message]:
    """The conversation of one side, including a prompt in a column of its own.

    A prompt as text next to a side with a whole conversation only repeats one of its messages.
    """
    if not is_given(row.get("prompt")) and isinstance(row.get(name), str):
        return parse_transcript(row[name])
    prompt = row.get("prompt")
    if isinstance(prompt, str) and asks_in_transcript(prompt) and isinstance(row.get(name), str):
        return _continued(prompt, text_of(row, name))
    side = as_messages(row, name, "assistant")
    if not is_given(row.get("prompt")):
        return side
    if isinstance(row["prompt"], str) and len(side) > 1 and side[0].role != "assistant":
        return side
    return as_messages(row, "prompt", "user") + side


def _continued(prompt: str, text: str) -> list[Message]:
    """The messages of a transcript that ends where the assistant answers, with the answer; the
    answer may repeat the transcript."""
    if text.lstrip().startswith(prompt.strip()):
        return parse_transcript(text)
    return parse_transcript(f"{prompt.rstrip()} {text.strip()}")


def refuse_other_prompt(row: Row) -> None:
    """Raise where the prompt as text has nothing of what the user says in the conversation."""
    own, chosen = row.get("prompt"), row.get("chosen")
    if not isinstance(own, str) or not own.strip() or not isinstance(chosen, list):
        return
    messages = as_messages(row, "chosen", "assistant")
    said = [one.content.strip() for one in messages if one.role == "user" and one.content.strip()]
    if messages[0].role != "assistant" and said and not any(text in own for text in said):
        raise UnusableError("prompt has none of the user's messages in chosen")
