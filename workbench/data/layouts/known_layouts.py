"""The column layouts of preference files: a new layout is one entry in `LAYOUTS`.

A layout names its columns and reads a row that has them. Whether the texts of the row are usable is
checked in `pairs.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from reprlib import repr
from typing import Any

from workbench.data.layouts.answer_lists import answer_pairs
from workbench.data.layouts.conversations import Parts, asked, divide
from workbench.data.layouts.messages import (
    Message,
    as_messages,
    asks_in_transcript,
)
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.side_messages import (
    earlier_turns,
    instruction_of,
    refuse_other_prompt,
    side_messages,
)
from workbench.data.layouts.unusable import Row, UnusableError, is_given, number_of, text_of

SIDES = ("chosen", "rejected")
OUTPUTS = ("preferred_output", "non_preferred_output")
SCORED = (
    ("chosen_score", "rejected_score"), ("score_chosen", "score_rejected"),
    ("chosen_rating", "rejected_rating"),
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """A set of columns, what they are, and how a row that has them is read.

    `read` gives the pairs of a row, one or more, and raises UnusableError where there is none.
    """

    columns: tuple[str, ...]
    about: str
    read: Callable[[Row, Reading], Iterator[Parts]]

    @property
    def told(self) -> str:
        """For a person."""
        return f"{self.about} ({', '.join(self.columns)})"


def read_prompt(row: Row, reading: Reading) -> Iterator[Parts]:
    """Prompt, chosen and rejected, as texts or as messages; `system` may stand beside them.

    >>> row = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    >>> [parts.completions for parts in read_prompt(row, Reading())]
    [('So.', 'No.')]
    """
    parts = _read_parts(row, reading)
    refuse_other_prompt(row)
    yield _with_scores(row, parts, reading)


def read_instruction(row: Row, reading: Reading) -> Iterator[Parts]:
    """An instruction, with an input behind it if there is one.

    >>> row = {"instruction": "Add.", "input": "1 2", "chosen": "3", "rejected": "4"}
    >>> [parts.prompt for parts in read_instruction(row, Reading())]
    ['Add.\\n\\n1 2']
    """
    row = {**row, "prompt": instruction_of(row)}
    if is_given(row.get("history")) and row["history"] != []:
        row["prompt"] = [*earlier_turns(row), {"role": "user", "content": row["prompt"]}]
    yield _with_scores(row, _read_parts(row, reading), reading)


def read_conversation(row: Row, reading: Reading) -> Iterator[Parts]:
    """Whole conversations, as messages or as transcripts; the prompt is all but the last message.

    >>> chosen, rejected = ("Human: Why?\\n\\nAssistant: " + text for text in ("So.", "No."))
    >>> [parts.prompt for parts in read_conversation(
    ...     {"chosen": chosen, "rejected": rejected}, Reading())]
    ['Why?']
    """
    yield _with_scores(row, _read_sides(row, reading), reading)


def read_shared(row: Row, reading: Reading) -> Iterator[Parts]:
    """One conversation, and two ways to go on, as ShareGPT files have it.

    >>> row = {"conversations": [{"from": "human", "value": "Why?"}],
    ...        "chosen": {"from": "gpt", "value": "So."},
    ...        "rejected": {"from": "gpt", "value": "No."}}
    >>> [(parts.prompt, parts.completions) for parts in read_shared(row, Reading())]
    [('Why?', ('So.', 'No.'))]
    """
    before = as_messages(row, "conversations", "user")
    whole = [[*before, *as_messages(row, name, "assistant")] for name in SIDES]
    yield _with_scores(row, divide(row, whole, reading.turns), reading)


def read_outputs(row: Row, reading: Reading) -> Iterator[Parts]:
    """Messages and tools in `input`, and two outputs, as OpenAI's preference files have it.

    >>> row = {"input": {"messages": [{"role": "user", "content": "Why?"}]},
    ...        "preferred_output": [{"role": "assistant", "content": "So."}],
    ...        "non_preferred_output": [{"role": "assistant", "content": "No."}]}
    >>> [(parts.prompt, parts.completions) for parts in read_outputs(row, Reading())]
    [('Why?', ('So.', 'No.'))]
    """
    given = row.get("input")
    if not isinstance(given, dict):
        raise UnusableError(f"field 'input' is {type(given).__name__}, expected an object")
    sides = {
        name: row[theirs] for name, theirs in zip(SIDES, OUTPUTS, strict=True) if theirs in row
    }
    messages = {"conversations": given["messages"]} if "messages" in given else {}
    yield from read_shared({**row, "tools": given.get("tools"), **messages, **sides}, reading)


def read_answers(row: Row, reading: Reading, name: str) -> Iterator[Parts]:
    """Several answers to one prompt, with scores (the higher, the better) or ranks (1 the best).

    >>> row = {"prompt": "Why?", "responses": ["No.", "So.", "So what."], "scores": [1, 3, 2]}
    >>> [(parts.completions, parts.gap) for parts in read_answers(row, Reading(), "responses")]
    [(('So.', 'So what.'), 1.0), (('So.', 'No.'), 2.0), (('So what.', 'No.'), 1.0)]
    """
    if "prompt" not in row:
        row = {**row, "prompt": instruction_of(row)}
    before = as_messages(row, "prompt", "user")
    for better, worse in answer_pairs(row, name, reading):
        whole = [[*before, *better.messages], [*before, *worse.messages]]
        parts = divide(row, whole, reading.turns)
        yield parts._replace(gap=better.score - worse.score)


UNDONE = "undone"


def read_vote(row: Row, reading: Reading) -> Iterator[Parts]:
    """A blind vote of the workbench: two answers, `a` and `b`, and which one is better.

    >>> row = {"prompt": "Why?", "a": "No.", "b": "So.", "vote": "b"}
    >>> [parts.completions for parts in read_vote(row, Reading())]
    [('So.', 'No.')]
    """
    vote = row.get("vote")
    if "undo" in row:
        raise UnusableError("it takes a vote back")
    if vote == UNDONE:
        raise UnusableError("a later row takes this vote back")
    if vote in ("tie", "bad"):
        raise UnusableError("a tie: neither is better" if vote == "tie" else "both bad")
    if vote not in ("a", "b"):
        raise UnusableError(f"vote is {repr(vote)}, accepted are a, b, tie and bad")
    order = ("a", "b") if vote == "a" else ("b", "a")
    sides = tuple((Message("assistant", text_of(row, name)),) for name in order)
    parts = asked(row, [Message("user", text_of(row, "prompt"))], sides)
    yield _with_scores(row, parts, reading)


def mark_undone(rows: list[Any]) -> list[Any]:
    """The rows, in which a vote that a later row takes back is marked; the newest one each time.

    >>> vote = {"prompt": "Why?", "a": "No.", "b": "So.", "vote": "b"}
    >>> [row.get("vote") for row in mark_undone([vote, vote, {"undo": vote}])]
    ['b', 'undone', None]
    """
    standing: dict[tuple[str, ...], list[int]] = {}
    marked = list(rows)
    for index, row in enumerate(rows):
        question = row.get("undo", row) if isinstance(row, dict) else None
        if isinstance(question, dict):
            prompt, *sides = (repr(question.get(name)) for name in ("prompt", "a", "b"))
            votes = standing.setdefault((prompt, *sorted(sides)), [])
            if "undo" not in row:
                votes.append(index)
            elif votes:
                newest = votes.pop()
                marked[newest] = {**rows[newest], "vote": UNDONE}
    return marked


LAYOUTS = (
    Layout(("prompt", *SIDES), "a prompt and two completions", read_prompt),
    Layout(("instruction", *SIDES), "an instruction and two completions", read_instruction),
    Layout(("conversations", *SIDES), "a conversation and two ways to go on", read_shared),
    Layout(("input", *OUTPUTS), "messages and two outputs", read_outputs),
    Layout(SIDES, "two whole conversations", read_conversation),
    Layout(("prompt", "a", "b", "vote"), "votes", read_vote),
    *(
        Layout((asked_by, name), "scored or ranked answers", partial(read_answers, name=name))
        for asked_by, name in (
            ("prompt", "responses"), ("prompt", "answers"), ("prompt", "completions"),
            ("instruction", "responses"), ("instruction", "completions"),
        )
    ),
)  # fmt: skip


def find_layout(rows: Sequence[Any]) -> Layout | None:
    """The first layout whose columns are all in at least one row."""
    columns = {frozenset(row) for row in rows if isinstance(row, dict)}
    fitting = (
        layout for layout in LAYOUTS if any(names.issuperset(layout.columns) for names in columns)
    )
    return next(fitting, None)


def _read_parts(row: Row, reading: Reading) -> Parts:
    """Of a prompt and two completions; those may be whole conversations."""
    messages = any(isinstance(row.get(name), list | dict) for name in ("prompt", *SIDES))
    if messages or asks_in_transcript(text_of(row, "prompt")):
        return _read_sides(row, reading)
    question = [Message("user", text_of(row, "prompt"))]
    return asked(row, question, tuple((Message("assistant", text_of(row, n)),) for n in SIDES))


def _read_sides(row: Row, reading: Reading) -> Parts:
    return divide(row, [side_messages(row, name) for name in SIDES], reading.turns)


def _with_scores(row: Row, parts: Parts, reading: Reading) -> Parts:
    """The parts with the difference of the scores, where both sides have one."""
    found = (names for names in SCORED if all(is_given(row.get(name)) for name in names))
    names = next(found, None)
    if names is None:
        if reading.min_gap:
            raise UnusableError(f"no scores, which min_gap={reading.min_gap:g} is about")
        return parts
    chosen, rejected = (number_of(row[name], name) for name in names)
    if reading.min_gap and chosen - rejected < reading.min_gap:
        raise UnusableError(
            f"{names[0]} is {chosen:g} and {names[1]} {rejected:g}: less than {reading.min_gap:g} "
            "apart"
        )
    return parts._replace(gap=chosen - rejected)
