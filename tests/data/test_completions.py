"""Labelled completions: every layout is read, every row is accounted for, tokens keep to the
context."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.batch import Completion
from workbench.data.completions import TextCompletion, encode_completions, read_completions
from workbench.data.pairs import SkippedRow, TextPair, read_pairs
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

GOOD = {"prompt": "p", "completion": "c", "label": True}


def message(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


def write(folder: Path, rows: Any, name: str = "rows.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (GOOD, TextCompletion("p", "c", True)),
        ({**GOOD, "label": False}, TextCompletion("p", "c", False)),
        ({**GOOD, "label": 1}, TextCompletion("p", "c", True)),
        ({**GOOD, "label": 0}, TextCompletion("p", "c", False)),
        (
            {**GOOD, "system": "s", "group": "g"},
            TextCompletion("p", "c", True, group="g", system="s"),
        ),
        (
            {**GOOD, "system": None, "group": 7, "more": []},
            TextCompletion("p", "c", True, group="7"),
        ),
        ({**GOOD, "prompt": [message("user", "p")]}, TextCompletion("p", "c", True)),
        (
            {**GOOD, "prompt": [message("system", "s"), message("user", "p")]},
            TextCompletion("p", "c", True, system="s"),
        ),
        ({**GOOD, "completion": [message("assistant", "c")]}, TextCompletion("p", "c", True)),
    ],
)
def test_layouts(tmp_path: Path, row: dict[str, Any], expected: TextCompletion) -> None:
    found, skipped, _ = read_completions(write(tmp_path, [row, {**row, "label": row["label"]}]))
    assert found == [replace(expected, row=1), replace(expected, row=2)]
    assert skipped == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": None}, "label is None, accepted are true and false"),
        ({"label": "true"}, "label is 'true'"),
        ({"label": 2}, "label is 2"),
        ({"label": -1}, "label is -1"),
        ({"label": 0.5}, "label is 0.5"),
        ({"label": [True]}, r"label is \[True\]"),
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n"}, "prompt is empty"),
        ({"completion": ""}, "completion is empty"),
        ({"completion": None}, "field 'completion' is NoneType, expected text"),
        ({"prompt": 3}, "field 'prompt' is int, expected text"),
        ({"system": 3}, "field 'system' is int, expected text"),
        ({"completion": "half \ud83d"}, "completion holds half of a Unicode character"),
        ({"system": "\ud83d"}, "system holds half of a Unicode character"),
        ({"completion": []}, "field 'completion' has no messages"),
        *(
            (
                {"completion": [message("user", "q"), *more]},
                "the completion does not begin with a message of the assistant",
            )
            for more in ([], [message("assistant", "c")])
        ),
        (
            {"completion": [message("assistant", "c"), message("user", "q")]},
            "the last message is not the assistant's",
        ),
        ({"completion": ["c"]}, "holds a message that is not an object"),
        ({"prompt": []}, "field 'prompt' has no messages"),
        ({"prompt": [message("user", 1)]}, "field 'content' is int"),
        (
            {"prompt": [message("user", "a"), message("assistant", "b")]},
            "the last message before the completion is the assistant's own",
        ),
        ({"prompt": [message("robot", "a")]}, "the role 'robot'; accepted are system"),
    ],
)
def test_a_row_that_cannot_be_used_is_skipped_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    found, skipped, _ = read_completions(write(tmp_path, [GOOD, {**GOOD, **changes}, GOOD]))
    assert [text.row for text in found] == [1, 3]
    (row,) = skipped
    assert row.row == 2
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(row.reason)


@pytest.mark.parametrize("name", ["prompt", "label", "completion"])
def test_a_row_without_a_column_is_skipped(tmp_path: Path, name: str) -> None:
    lacking = {key: value for key, value in GOOD.items() if key != name}
    found, skipped, _ = read_completions(write(tmp_path, [GOOD, lacking]))
    assert [text.row for text in found] == [1]
    assert [row.row for row in skipped] == [2]


@pytest.mark.parametrize("odd", [5, "a completion", None, ["completion"], True])
def test_rows_that_are_no_objects_are_skipped(tmp_path: Path, odd: Any) -> None:
    for rows in ([odd, GOOD], [GOOD, odd]):
        found, skipped, _ = read_completions(write(tmp_path, rows))
        assert len(found) == 1
        assert len(skipped) == 1
        assert "expected an object" in skipped[0].reason


@pytest.mark.parametrize("odd", [5, "a completion", None, ["completion"], True])
def test_a_file_of_no_objects_is_refused(tmp_path: Path, odd: Any) -> None:
    for rows in ([odd], [odd, odd]):
        with pytest.raises(WorkbenchError, match=r"can be used|no known layout|not JSON|object"):
            read_completions(write(tmp_path, rows))


@pytest.mark.parametrize("name", ["prompt", "label"])
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    lacking = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(
        WorkbenchError, match=rf"no column '{name}'; found columns .* accepted are prompt, .*label"
    ):
        read_completions(write(tmp_path, [lacking, lacking]))


def test_columns_of_no_layout_are_refused_with_all_that_are_accepted(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError) as caught:
        read_completions(write(tmp_path, [{"question": "p", "answer": "c"}]))
    message = str(caught.value)
    for part in ("'question', 'answer'", "prompt, chosen, rejected", "prompt, completion, label"):
        assert part in message
    assert "\n" not in message


def test_a_file_without_a_usable_row_names_the_first_reason(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="none of 2 rows can be used; row 1: label is 'x'"):
        read_completions(write(tmp_path, [{**GOOD, "label": "x"}, {**GOOD, "prompt": ""}]))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"nothing\.jsonl"):
        read_completions(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize("rows", [GOOD, [GOOD], {"data": [GOOD]}, {"data": [GOOD], "version": 1}])
def test_a_single_row(tmp_path: Path, rows: Any) -> None:
    """As an object of its own, in a list, or in an object with one list."""
    found, skipped, _ = read_completions(write(tmp_path, rows))
    assert found == [TextCompletion("p", "c", True, row=1)]
    assert skipped == []


def test_a_single_row_of_messages_is_no_list_of_rows(tmp_path: Path) -> None:
    row = {**GOOD, "completion": [message("assistant", "c")]}
    assert read_completions(write(tmp_path, row))[0] == [TextCompletion("p", "c", True, row=1)]


def test_lines_are_read_as_a_list_is(tmp_path: Path) -> None:
    rows = [GOOD, {**GOOD, "completion": "d", "label": False}]
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert read_completions(lines) == read_completions(write(tmp_path, rows))


def test_pairs_are_a_desirable_and_an_undesirable_completion_each(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "chosen": "c", "rejected": "r", "group": "g", "system": "s"},
        {"prompt": "p", "chosen": "same", "rejected": "same"},
        {"instruction": "q", "chosen": "d", "rejected": "e"},
    ]
    found, skipped, _ = read_completions(write(tmp_path, rows[:2]))
    assert found == [
        TextCompletion("p", "c", True, 1, "g", "s"),
        TextCompletion("p", "r", False, 1, "g", "s"),
    ]
    assert skipped == [SkippedRow(2, "chosen and rejected are identical")]
    assert [text.completion for text in read_completions(write(tmp_path, rows[2:]))[0]] == [
        "d",
        "e",
    ]


def test_the_shipped_pairs_are_read_by_their_name() -> None:
    found, skipped, _ = read_completions("assistant")
    pairs = read_pairs("assistant").pairs
    assert len(found) == 2 * len(pairs)
    assert found[:2] == [TextCompletion.of(pairs[0], True), TextCompletion.of(pairs[0], False)]
    assert skipped == []


def test_a_completion_beside_a_pair_is_ignored(tmp_path: Path) -> None:
    pair = {"prompt": "p", "chosen": "c", "rejected": "r"}
    plain = read_completions(write(tmp_path, [pair]))
    assert [text.completion for text in plain[0]] == ["c", "r"]
    assert read_completions(write(tmp_path, [{**pair, "completion": "x"}])) == plain
    labelled = {**pair, "completion": "x", "label": False}
    assert read_completions(write(tmp_path, [labelled]))[0] == [TextCompletion("p", "x", False, 1)]


def test_the_completions_of_a_pair() -> None:
    pair = TextPair("p", "c", "r", 3, "g", "s")
    assert TextCompletion.of(pair, True) == TextCompletion("p", "c", True, 3, "g", "s")
    assert TextCompletion.of(pair, False) == TextCompletion("p", "r", False, 3, "g", "s")


texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
values = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.floats(), st.text(), texts)


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(GOOD, values)), max_size=6))
def test_every_row_is_used_or_skipped_once(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    rows = [GOOD, *rows]
    found, skipped, _ = read_completions(write(tmp_path_factory.mktemp("rows"), rows))
    assert sorted([text.row for text in found] + [row.row for row in skipped]) == list(
        range(1, len(rows) + 1)
    )
    for text in found:
        row = rows[text.row - 1]
        assert (text.prompt, text.completion) == (row["prompt"], row["completion"])
        assert text.label == bool(row["label"])
    assert all(row.reason for row in skipped)


# -- tokens -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return Tokenizer.from_words(["a", "b", "c", "d"])


def text(prompt: str, completion: str, label: bool = True, row: int = 1) -> TextCompletion:
    return TextCompletion(prompt, completion, label, row)


def test_tokens_end_with_the_end_of_sequence(words: Tokenizer) -> None:
    items, kept, skipped, cut = encode_completions([text("a b", "c d", False)], words, 8)
    prompt, completion = words.render_prompt("a b"), words.completion("c d")
    assert items == [Completion(tuple(prompt), tuple(completion), False)]
    assert items[0].completion[-1] == words.eos_id
    assert kept == [text("a b", "c d", False)]
    assert (skipped, cut) == ([], [])


@given(st.integers(1, 6), st.integers(1, 6), st.integers(2, 12))
def test_what_is_too_long_loses_its_end(
    words: Tokenizer, prompt: int, completion: int, longest: int
) -> None:
    """A prompt of n words has n tokens here, a completion one more, its end of sequence."""
    row = text(" ".join("abcdab"[:prompt]), " ".join("cdabcd"[:completion]), row=7)
    before = len(words.render_prompt(row.prompt))
    other = text("a", "b", row=9)
    items, kept, skipped, cut = encode_completions([row, other], words, longest)
    if before >= longest:
        assert kept == [other]
        assert skipped == [
            SkippedRow(7, f"the prompt has {before} tokens, no room for a completion in {longest}")
        ]
        return
    whole = words.completion(row.completion)
    assert list(items[0].completion) == whole[: longest - before]
    assert len(items[0].prompt) + len(items[0].completion) <= longest
    assert (7 in [row.row for row in cut]) == (len(whole) > longest - before)
    assert kept == [row, other]
    assert skipped == []


def test_a_completion_without_tokens_is_skipped(byte_tokenizer: Tokenizer) -> None:
    good, empty = text("the robot", "waits"), text("the robot", "", row=2)
    items, kept, skipped, _ = encode_completions([good, empty], byte_tokenizer, 64)
    assert len(items) == 1
    assert kept == [good]
    assert skipped == [SkippedRow(2, "completion has no tokens but its end of sequence")]


def test_no_row_left_is_refused(words: Tokenizer) -> None:
    with pytest.raises(WorkbenchError, match="context of 2 tokens: none of 1 rows can be used"):
        encode_completions([text("a b c d", "a")], words, 2)
