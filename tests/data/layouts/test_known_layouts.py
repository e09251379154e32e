"""Layouts beyond a prompt and two texts: several turns, lists of answers, scores, votes, tools."""

from __future__ import annotations

import doctest
import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.data.completions import read_completions
from workbench.data.layouts import columns, known_layouts, messages
from workbench.data.layouts.known_layouts import LAYOUTS
from workbench.data.layouts.messages import Message
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import write_rows
from workbench.data.pairs import TextPair, read_pairs, write_jsonl
from workbench.data.prompts import read_prompts
from workbench.errors import WorkbenchError

TALK = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
CALL = {"type": "function", "function": {"name": "add", "arguments": {"x": 1}}}


def said(role: str, text: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


def shared(speaker: str, text: str) -> dict[str, str]:
    return {"from": speaker, "value": text}


EARLIER = [said("user", "a"), said("assistant", "b"), said("user", "c")]
SEVERAL_TURNS: dict[str, dict[str, Any]] = {
    "prompt as messages": {
        "prompt": EARLIER, "chosen": [said("assistant", "d")], "rejected": "e",
    },
    "whole conversations": {
        "chosen": [*EARLIER, said("assistant", "d")],
        "rejected": [*EARLIER, said("assistant", "e")],
    },
    "prompt repeated as text": {
        "prompt": "a", "chosen": [*EARLIER, said("assistant", "d")],
        "rejected": [*EARLIER, said("assistant", "e")],
    },
    "answers that go on": {
        "prompt": "a",
        "chosen": [*EARLIER[1:], said("assistant", "d")],
        "rejected": [*EARLIER[1:], said("assistant", "e")],
    },
    "transcripts": {
        "chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
        "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: e",
    },
    "ShareGPT": {
        "conversations": [shared("human", "a"), shared("gpt", "b"), shared("human", "c")],
        "chosen": shared("gpt", "d"), "rejected": shared("gpt", "e"),
    },
    "two outputs": {
        "input": {"messages": EARLIER, "tools": []},
        "preferred_output": [said("assistant", "d")],
        "non_preferred_output": [said("assistant", "e")],
    },
    "answers with scores": {
        "prompt": EARLIER, "responses": ["e", "d"], "scores": [1, 2],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SEVERAL_TURNS)
def test_several_turns_are_one_dialogue(kind: str) -> None:
    (pair,) = read_pairs([SEVERAL_TURNS[kind]]).pairs
    assert pair.dialogue is not None
    assert pair.dialogue.before == tuple(TALK)
    assert pair.dialogue.sides == ((Message("assistant", "d"),), (Message("assistant", "e"),))
    assert (pair.prompt, pair.chosen, pair.rejected) == (
        "user: a\n\nassistant: b\n\nuser: c", "d", "e",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["whole conversations", "transcripts", "answers that go on"])
def test_every_turn_of_the_assistant_can_be_scored(kind: str) -> None:
    (pair,) = read_pairs([SEVERAL_TURNS[kind]], Reading(turns="every")).pairs
    assert pair.dialogue is not None
    assert pair.dialogue.before == (TALK[0],)
    assert pair.dialogue.sides[0] == (*TALK[1:], Message("assistant", "d"))
    assert pair.prompt == "a"


def test_conversations_that_part_early_can_be_scored_turn_by_turn() -> None:
    row = {
        "chosen": [*EARLIER, said("assistant", "d")],
        "rejected": [EARLIER[0], said("assistant", "x"), said("user", "y"), said("assistant", "e")],
    }
    with pytest.raises(WorkbenchError, match=r"different messages; --turns every"):
        read_pairs([row])
    (pair,) = read_pairs([row], Reading(turns="every")).pairs
    assert pair.dialogue is not None
    assert [message.content for message in pair.dialogue.sides[1]] == ["x", "y", "e"]


def test_a_single_turn_is_the_same_whichever_turns_are_scored() -> None:
    row = {
        "chosen": [said("system", "s"), said("user", "p"), said("assistant", "c")],
        "rejected": [said("system", "s"), said("user", "p"), said("assistant", "r")],
    }
    wanted = TextPair("p", "c", "r", 1, system="s")
    for turns in ("last", "every"):
        assert read_pairs([row], Reading(turns=turns)).pairs == [wanted]


def test_tool_calls_and_tools_are_kept(tmp_path: Path) -> None:
    row = {
        "tools": [{"name": "add"}],
        "prompt": [
            said("user", "1+1?"), said("assistant", None, tool_calls=[CALL]),
            said("tool", "2", name="add"),
        ],
        "chosen": [said("assistant", "2")],
        "rejected": [said("assistant", "", tool_calls=[CALL])],
    }  # fmt: skip
    file = read_pairs([row])
    talk = file.pairs[0].dialogue
    assert talk is not None
    assert talk.before[1].for_template() == said("assistant", "", tool_calls=[CALL])
    assert talk.before[2].for_template() == said("tool", "2", name="add")
    assert json.loads(talk.tools) == [{"name": "add"}]
    assert '"add"' in file.pairs[0].rejected
    write_jsonl(file.pairs, tmp_path / "again.jsonl")
    assert read_pairs(tmp_path / "again.jsonl").pairs == file.pairs


@pytest.mark.parametrize("kind", SEVERAL_TURNS)
def test_dialogues_that_are_written_come_back(tmp_path: Path, kind: str) -> None:
    for reading in (Reading(), Reading(turns="every")):
        pairs = read_pairs([SEVERAL_TURNS[kind]], reading).pairs
        write_jsonl(pairs, tmp_path / "again.jsonl")
        assert read_pairs(tmp_path / "again.jsonl", reading).pairs == pairs


ANSWERS = ["bad", "good", "fair", "fair too"]
LISTS: dict[str, dict[str, Any]] = {
    "scores": {"prompt": "p", "responses": ANSWERS, "scores": [1, 4, 2, 2]},
    "ranks": {"prompt": "p", "answers": ANSWERS, "ranks": [4, 1, 3, 3]},
    "scores with the answers": {
        "instruction": "p",
        "completions": [
            {"response": text, "overall_score": score}
            for text, score in zip(ANSWERS, [1, 4.0, "2", 2], strict=True)
        ],
    },
    "ranks with the answers": {
        "prompt": "p",
        "answers": [
            {"answer": text, "rank": rank} for text, rank in zip(ANSWERS, [4, 1, 3, 3], strict=True)
        ],
    },
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_answers_are_all_pairs_of_different_scores(kind: str) -> None:
    file = read_pairs([LISTS[kind]])
    assert [(pair.prompt, pair.chosen, pair.rejected, pair.row) for pair in file.pairs] == [
        ("p", "good", "fair", 1), ("p", "good", "fair too", 1), ("p", "good", "bad", 1),
        ("p", "fair", "bad", 1), ("p", "fair too", "bad", 1),
    ]  # fmt: skip
    assert all(pair.gap is not None and pair.gap > 0 for pair in file.pairs)
    assert "scored or ranked answers" in file.layout
    best_worst = read_pairs([LISTS[kind]], Reading(ranked="best_worst")).pairs
    assert [(pair.chosen, pair.rejected) for pair in best_worst] == [("good", "bad")]
    far = read_pairs([LISTS[kind]], Reading(min_gap=2)).pairs
    assert {(pair.chosen, pair.rejected) for pair in far} == {
        (pair.chosen, pair.rejected) for pair in file.pairs if (pair.gap or 0) >= 2
    }
    assert 0 < len(far) < 5


def test_a_list_in_a_table_is_written_as_json(tmp_path: Path) -> None:
    row = LISTS["scores"]
    cells = {name: json.dumps(value) if name != "prompt" else value for name, value in row.items()}
    pd.DataFrame([cells]).to_csv(tmp_path / "lists.csv", index=False)
    assert read_pairs(tmp_path / "lists.csv").pairs == read_pairs([row]).pairs


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"responses": "good"}, "field 'responses' is no list of at least two answers"),
        ({"responses": ["good"], "scores": [1]}, "is no list of at least two answers"),
        ({"scores": [1, 2]}, "scores holds 2 values, expected a list of 4"),
        ({"scores": None}, "answer 1 in responses has no score: give scores or ranks"),
        ({"scores": [1, "x", 2, 2]}, "the score of answer 2 is 'x', expected a number"),
        ({"scores": [1, True, 2, 2]}, "the score of answer 2 is True"),
        ({"scores": [1, float("nan"), 2, 2]}, "answer 2 in responses has no score"),
        ({"scores": [2, 2, 2, 2]}, "all 4 answers in responses have the same score"),
        ({"responses": ["bad", "", "fair", "fair too"]}, "chosen is empty"),
        ({"responses": ["bad", "bad", "x", "y"]}, "chosen and rejected are identical"),
        ({"responses": [{"words": "x"}, "a", "b", "c"]}, "answer 1 in responses has no text"),
    ],
)
def test_a_list_that_cannot_be_used_is_told_with_the_answer(
    changes: dict[str, Any], reason: str
) -> None:
    file = read_pairs([LISTS["scores"], {**LISTS["scores"], **changes}])
    assert {pair.row for pair in file.pairs} == {1}
    ((row, found),) = file.skipped
    assert (row, reason in found) == (2, True), found


def test_no_two_answers_are_far_enough_apart() -> None:
    with pytest.raises(WorkbenchError, match=r"no two answers in responses are 9 apart.*is 3"):
        read_pairs([LISTS["scores"]], Reading(min_gap=9))


@pytest.mark.parametrize(
    ("first", "second"), [("chosen_score", "rejected_score"), ("score_chosen", "score_rejected")]
)
def test_scores_of_the_sides_are_kept_and_can_be_asked_for(first: str, second: str) -> None:
    rows = [
        {"prompt": "p", "chosen": "c", "rejected": f"r{low}", first: 5, second: low}
        for low in (1, "4.5", 6)
    ]
    file = read_pairs([*rows, {"prompt": "p", "chosen": "c", "rejected": "r"}])
    assert [pair.gap for pair in file.pairs] == [4, 0.5, -1, None]
    far = read_pairs([*rows, {"prompt": "p", "chosen": "c", "rejected": "r"}], Reading(min_gap=1))
    assert [pair.row for pair in far.pairs] == [1]
    assert [row for row, _ in far.skipped] == [2, 3, 4]
    assert "no scores, which min_gap=1 is about" in far.skipped[-1].reason


def test_votes_are_pairs() -> None:
    vote = {"prompt": "p", "a": "one", "b": "two", "name_a": "x", "name_b": "y", "vote": "b"}
    rows = [vote, {**vote, "vote": "tie"}, {**vote, "vote": "bad"}, {**vote, "vote": "c"}]
    file = read_pairs(rows)
    assert [(pair.chosen, pair.rejected) for pair in file.pairs] == [("two", "one")]
    assert [reason for _, reason in file.skipped] == [
        "a tie: neither is better", "both bad", "vote is 'c', accepted are a, b, tie and bad",
    ]  # fmt: skip


def test_a_vote_that_was_taken_back_is_not_trained_on() -> None:
    vote = {"prompt": "p", "a": "one", "b": "two", "vote": "b"}
    undo = {"undo": {"prompt": "p", "a": "two", "b": "one"}, "time": "now"}
    kept, again = {**vote, "prompt": "q"}, {**vote, "vote": "a"}
    file = read_pairs([vote, kept, undo, again, {"undo": 3}])
    assert [(pair.row, pair.chosen) for pair in file.pairs] == [(2, "two"), (4, "one")]
    assert [(row, reason) for row, reason in file.skipped] == [
        (1, "a later row takes this vote back"), (3, "it takes a vote back"),
        (5, "it takes a vote back"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["messages", "conversations"])
def test_whole_conversations_are_completions(name: str) -> None:
    talk = [said("system", "s"), *EARLIER, said("assistant", "d")]
    file = read_completions([{name: talk, "label": False}])
    (text,) = file.texts
    assert (text.completion, text.label, text.system) == ("d", False, "s")
    assert text.dialogue is not None
    assert text.dialogue.before == tuple(TALK)
    (every,) = read_completions(
        [{name: talk}], labelled=False, reading=Reading(turns="every")
    ).texts
    assert every.dialogue is not None
    assert every.dialogue.before == (TALK[0],)
    with pytest.raises(WorkbenchError, match="no column 'label'"):
        read_completions([{name: talk}])
    (prompt,) = read_prompts([{"prompt": EARLIER}]).texts
    assert prompt.dialogue is not None
    assert prompt.dialogue.before == tuple(TALK)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([said("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])], None),
        ([said("user", [{"type": "image"}])], "field 'content' holds a part of type 'image'"),
        ([said("user", None)], "field 'content' is NoneType, expected text"),
        ([said("user", "p"), said("system", "s")], "a system message stands behind the first"),
        ([said("user", "p"), said("assistant", "a")], "the assistant's own"),
    ],
)
def test_messages_in_parts_and_out_of_order(content: list[Any], reason: str | None) -> None:
    good = {"prompt": "p", "chosen": "c", "rejected": "r"}
    file = read_pairs([good, {**good, "prompt": content}])
    if reason is None:
        assert file.pairs[1].prompt == "ab"
    else:
        assert reason in file.skipped[0].reason


def test_the_layout_is_told() -> None:
    told = read_pairs(
        [{"chosen": "Human: a\n\nAssistant: b", "rejected": "Human: a\n\nAssistant: c"}]
    )
    assert told.layout == "two whole conversations (chosen, rejected)"


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: ", ".join(layout.columns))
def test_every_layout_has_an_example(layout: known_layouts.Layout) -> None:
    read = getattr(layout.read, "func", layout.read)
    assert ">>> " in str(read.__doc__)


@pytest.mark.parametrize("module", [known_layouts, messages, columns])
def test_the_examples_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_rows_in_memory_are_those_of_a_file(tmp_path: Path) -> None:
    import datasets

    rows = [{"prompt": f"p{n}", "chosen": "c", "rejected": "r", "group": n} for n in range(3)]
    wanted = read_pairs(rows).pairs
    assert read_pairs(pd.DataFrame(rows)).pairs == wanted
    kept = datasets.Dataset.from_list(rows)
    assert read_pairs(kept).pairs == wanted
    kept.save_to_disk(str(tmp_path / "kept"))
    assert read_pairs(tmp_path / "kept").pairs == wanted
    assert read_pairs(kept).source == "Dataset of 3 rows"
    parts = datasets.DatasetDict({"train": kept, "test": kept})
    parts.save_to_disk(str(tmp_path / "parts"))
    with pytest.raises(WorkbenchError, match=r"holds several parts: name one of .*train"):
        read_pairs(tmp_path / "parts")
    nested = [SEVERAL_TURNS["whole conversations"], SEVERAL_TURNS["whole conversations"]]
    assert read_pairs(datasets.Dataset.from_list(nested)).pairs == read_pairs(nested).pairs


def test_a_transcript_as_the_prompt_is_read_as_one() -> None:
    prompt = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    for chosen, rejected in ((" d", " e"), (f"{prompt} d", f"{prompt} e")):
        (pair,) = read_pairs([{"prompt": prompt, "chosen": chosen, "rejected": rejected}]).pairs
        assert pair.dialogue is not None
        assert pair.dialogue.before == tuple(TALK)
        assert (pair.chosen, pair.rejected) == ("d", "e")


def test_a_history_stands_before_the_instruction() -> None:
    row = {"instruction": "c", "chosen": "d", "rejected": "e", "history": [["a", "b"]]}
    (pair,) = read_pairs([row]).pairs
    assert pair.dialogue is not None
    assert pair.dialogue.before == tuple(TALK)
    assert read_pairs([{**row, "history": []}]).pairs[0].prompt == "c"
    with pytest.raises(WorkbenchError, match="history is no list of questions with their answers"):
        read_pairs([{**row, "history": ["a"]}])


def test_what_only_users_say_is_no_preference() -> None:
    rows = [
        {"chosen": EARLIER[:2], "rejected": [said("user", "x"), EARLIER[1]]},
        {
            "chosen": [*EARLIER, said("assistant", "d")],
            "rejected": [*EARLIER[:2], said("user", "y"), said("assistant", "d")],
        },
    ]
    with pytest.raises(WorkbenchError, match="identical in what the assistant says"):
        read_pairs(rows[1:], Reading(turns="every"))


def test_a_blank_system_column_is_none_in_every_conversation() -> None:
    for kind in ("whole conversations", "ShareGPT", "answers with scores"):
        (pair,) = read_pairs([{**SEVERAL_TURNS[kind], "system": " "}]).pairs
        assert pair.system is None


def test_reasoning_is_kept() -> None:
    thought, other = (said("assistant", "d", reasoning_content=text) for text in ("x", "y"))
    (pair,) = read_pairs([{"prompt": "a", "chosen": [thought], "rejected": [other]}]).pairs
    assert pair.dialogue is not None
    assert pair.dialogue.sides[0][0].for_template() == thought


def test_fields_that_arrow_adds_are_left_out(tmp_path: Path) -> None:
    import datasets

    def row(arguments: dict[str, str]) -> dict[str, Any]:
        call = [{"function": {"name": "f", "arguments": arguments}}]
        return {"prompt": "p", "chosen": [said("assistant", "", tool_calls=call)], "rejected": "r"}

    rows = [row({"city": "Rome"}), row({"stock": "X"})]
    for one in rows:
        one["rejected"] = [said("assistant", "r")]
    kept = datasets.Dataset.from_list(rows)
    wanted = read_pairs(rows).pairs
    assert read_pairs(kept).pairs == wanted
    kept.to_parquet(str(tmp_path / "kept.parquet"))
    assert read_pairs(tmp_path / "kept.parquet").pairs == wanted
    assert read_pairs(write_rows(kept, tmp_path / "kept.jsonl")).pairs == wanted


@pytest.mark.parametrize("kind", ["whole conversations", "ShareGPT", "prompt as messages"])
def test_messages_in_a_table_are_read_as_messages(tmp_path: Path, kind: str) -> None:
    row = SEVERAL_TURNS[kind]
    wanted = read_pairs([row]).pairs
    pd.DataFrame([row]).to_csv(tmp_path / "python.csv", index=False)
    cells = {name: v if isinstance(v, str) else json.dumps(v) for name, v in row.items()}
    pd.DataFrame([cells]).to_csv(tmp_path / "json.csv", index=False)
    for name in ("python.csv", "json.csv"):
        assert read_pairs(tmp_path / name).pairs == wanted


def test_rows_that_come_one_by_one_and_odd_values(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "chosen": "c", "rejected": "r"} for n in range(2)]
    assert read_pairs(row for row in rows).pairs == read_pairs(rows).pairs
    dated = pd.DataFrame(rows).assign(day=pd.Timestamp("2026-01-31"))
    assert len(read_pairs(write_rows(dated, tmp_path / "dated.jsonl")).pairs) == 2
    half = [*rows, {**rows[0], "chosen": "\ud800"}]
    file = read_pairs(write_rows(half, tmp_path / "half.jsonl"))
    assert (file.pairs, [row for row, _ in file.skipped]) == (read_pairs(half).pairs, [3])
    call = {**rows[0], "tools": [{"name": "\ud800"}]}
    assert "tools holds half" in read_pairs([*rows, call]).skipped[0].reason


@pytest.mark.parametrize("name", ["messages", "prompt"])
def test_a_single_row_of_messages_is_a_row(tmp_path: Path, name: str) -> None:
    path = write_rows(
        [{name: [*EARLIER, said("assistant", "d")][: 4 if name == "messages" else 3]}],
        tmp_path / "one.jsonl",
    )
    read = read_prompts if name == "prompt" else partial(read_completions, labelled=False)
    assert read(path).texts[0].row == 1
