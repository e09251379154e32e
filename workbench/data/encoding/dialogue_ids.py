"""A conversation of several turns as token ids, with the tokens that are scored.

What the assistant says is what a chat template writes between the point where an answer is asked
for and the same conversation with that answer; what others say in between is not scored. Without a
template, the conversation is a transcript.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

from workbench.data.chat import render_messages
from workbench.data.layouts.messages import Dialogue, Message
from workbench.data.plain_names import without_end
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

Ids = tuple[int, ...]
ANSWER = "assistant:\n"  # of a transcript, where an answer is asked for


class Side(NamedTuple):
    """Token ids of a completion; `scored` marks the assistant's, empty where all are."""

    ids: Ids
    scored: tuple[bool, ...] = ()


def dialogue_prompt(dialogue: Dialogue, system: str | None, tokenizer: Tokenizer) -> str:
    """What stands before the completions, as `Tokenizer.encode_all` takes it.

    Raises:
        WorkbenchError: the chat template rejects the messages or leaves some of them out; or there
            are tools and no template.
    """
    return _Written(tokenizer, system, dialogue).text((), asks=True)


def ends_in_texts(dialogue: Dialogue) -> bool:
    """Whether every completion is one message of text, to be encoded as in any other row."""
    return all(len(side) == 1 and not side[0].more for side in dialogue.sides)


def dialogue_ids(
    dialogue: Dialogue, system: str | None, tokenizer: Tokenizer
) -> tuple[Ids, list[Side]]:
    """Token ids of what stands before the completions, and of each completion.

    Raises:
        WorkbenchError: as `dialogue_prompt` does; or the template writes earlier turns otherwise
            once others follow.
    """
    written = _Written(tokenizer, system, dialogue)
    prompt = written.text((), asks=True)
    sides = [_side(written, messages, prompt) for messages in dialogue.sides]
    return (*tokenizer.leading_ids, *tokenizer.encode_all([prompt])[0]), sides


class _Written:
    """The conversation as text, up to some message of a completion."""

    def __init__(self, tokenizer: Tokenizer, system: str | None, dialogue: Dialogue) -> None:
        self.tokenizer, self.dialogue = tokenizer, dialogue
        self.start = [] if system is None else [Message("system", system)]
        if tokenizer.chat_template is None:
            every = [*dialogue.before, *(one for side in dialogue.sides for one in side)]
            if dialogue.tools or any(one.more for one in every):
                raise WorkbenchError("tool calls need a model with a chat template")
        elif dialogue.tools and self._same_without(tools=""):
            raise WorkbenchError("the chat template of this model leaves the tools out")
        elif self._calls() and self._same_without(
            before=_plain(dialogue.before), sides=tuple(map(_plain, dialogue.sides))
        ):
            raise WorkbenchError("the chat template of this model leaves calls of tools out")

    def _calls(self) -> bool:
        every = (*self.dialogue.before, *chain(*self.dialogue.sides))
        return any(
            name in one.more for one in every for name in ('"tool_calls"', '"function_call"')
        )

    def _same_without(self, **parts: Any) -> bool:
        """Whether the whole is the same text with these parts instead."""
        whole = self.dialogue
        texts = [self.text(side, asks=False) for side in whole.sides or ((),)]
        self.dialogue = other = replace(whole, **parts)
        try:
            return texts == [self.text(side, asks=False) for side in other.sides or ((),)]
        finally:
            self.dialogue = whole

    def text(self, side: Sequence[Message], asks: bool) -> str:
        """With the messages of a completion; `asks` for the answer that comes next."""
        messages = [self._ended(one) for one in (*self.dialogue.before, *side)]
        tokenizer, put_aside = self.tokenizer, self.tokenizer.put_aside
        if tokenizer.chat_template is None:
            start = "".join(f"{put_aside(one.content)}\n\n" for one in self.start)
            lines = [f"{one.role}:\n{put_aside(one.content)}" for one in messages]
            return start + "\n\n".join([*lines, ANSWER] if asks else lines)
        values = [one.for_template() for one in [*self.start, *messages]]
        tools = json.loads(self.dialogue.tools) if self.dialogue.tools else None
        return render_messages(
            tokenizer.chat_template, _each(values, put_aside), tokenizer.special_names,
            _each(tools, put_aside), asks,
        )  # fmt: skip

    def _ended(self, message: Message) -> Message:
        """A message of the assistant without the end that it spells out: the template writes it."""
        if message.role != "assistant" or self.tokenizer.allow_special:
            return message
        end = self.tokenizer.special_names["eos_token"]
        return message._replace(content=without_end(message.content, end))


def _plain(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(one._replace(more="") for one in messages)


def _side(written: _Written, messages: tuple[Message, ...], prompt: str) -> Side:
    tokenizer = written.tokenizer
    if len(messages) == 1 and not messages[0].more:
        return Side(tuple(tokenizer.completion(messages[0].content)))
    ids: list[int] = []
    scored: list[bool] = []
    told, ends = prompt, 0
    for number, message in enumerate(messages):
        if message.role != "assistant":
            continue
        asked = written.text(messages[:number], asks=True)
        answered = written.text(messages[: number + 1], asks=False)
        if not (asked.startswith(told) and answered.startswith(asked)):
            raise WorkbenchError(
                "the chat template writes a turn otherwise once another follows, so that it can't "
                "be told which tokens are the assistant's"
            )
        between, own = tokenizer.encode_all([asked[len(told) :], answered[len(asked) :]])
        end = _turn_end(own, tokenizer)
        ids += [*between, *own]
        ends = len(own) if end is None else end
        scored += [False] * len(between) + [True] * ends + [False] * (len(own) - ends)
        ends, told = len(own) - ends, answered
    ids, scored = ids[: len(ids) - ends], scored[: len(scored) - ends]
    if ids[-1:] and ids[-1] not in tokenizer.stop_ids:
        ids, scored = [*ids, tokenizer.eos_id], [*scored, True]
    return Side(tuple(ids), () if all(scored) else tuple(scored))


def _turn_end(ids: Sequence[int], tokenizer: Tokenizer) -> int | None:
    """Tokens of an answer with what ends it: a stop token, or any that the template writes."""
    for ends in (tokenizer.stop_ids, () if tokenizer.allow_special else tokenizer.plain_names.ids):
        places = [place for place, one in enumerate(ids, 1) if one in ends]
        if places:
            return places[0]
    return None


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """The value with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each(one, change) for one in value]
    return {n: _each(v, change) for n, v in value.items()} if isinstance(value, dict) else value
