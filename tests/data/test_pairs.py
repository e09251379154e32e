"""Every layout is read, every row is accounted for, and tokens keep to the context."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.pairs import TextPair, encode_pairs, read_pairs, write_jsonl
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

GOOD = {"prompt": "p", "chosen": "c", "rejected": "r"}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def write(folder: Path, rows: Any, name: str = "pairs.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (GOOD, TextPair("p", "c", "r")),
        ({**GOOD, "system": "s", "group": "g"}, TextPair("p", "c", "r", group="g", system="s")),
        ({**GOOD, "system": None, "group": None}, TextPair("p", "c", "r")),
        (
            {
                "chosen": "\n\nHuman: p\n\nq\n\nAssistant: c",
                "rejected": "\n\nHuman: p\n\nq\n\nAssistant:  r",
            },
            TextPair("p\n\nq", "c", "r"),
        ),
        ({**GOOD, "group": 7}, TextPair("p", "c", "r", group="7")),
        ({**GOOD, "group": 7.0}, TextPair("p", "c", "r", group="7")),
        ({**GOOD, "group": 7.5}, TextPair("p", "c", "r", group="7.5")),
        ({**GOOD, "group": float("nan")}, TextPair("p", "c", "r")),
        ({**GOOD, "group": ["g"]}, TextPair("p", "c", "r", group='["g"]')),
        *[
            (
                {
                    "prompt": prompt,
                    "system": system,
                    "chosen": [user("p"), assistant("c")],
                    "rejected": [user("p"), assistant("r")],
                },
                TextPair("p", "c", "r"),
            )
            for prompt in ("", " p\n", "user: p", None)
            for system in ("", " ", None)
        ],
        (
            {
                "instruction": "p",
                "input": "q",
                "chosen": [user("p\nq"), assistant("c")],
                "rejected": [user("p\nq"), assistant("r")],
            },
            TextPair("p\nq", "c", "r"),
        ),
        *[
            (
                {
                    "system": own,
                    "chosen": [system("s"), user("p"), assistant("c")],
                    "rejected": [system("s"), user("p"), assistant("r")],
                },
                TextPair("p", "c", "r", system="s"),
            )
            for own in ("", "s\n", None)
        ],
        (
            {"prompt": "p", "chosen": [assistant("c")], "rejected": "r", "system": "s"},
            TextPair("p", "c", "r", system="s"),
        ),
        (
            {
                "system": "s",
                "chosen": [system("s"), user("p"), assistant("c")],
                "rejected": [system("s"), user("p"), assistant("r")],
            },
            TextPair("p", "c", "r", system="s"),
        ),
        (
            {"instruction": "i", "input": "", "output": "o", "chosen": "c", "rejected": "r"},
            TextPair("i", "c", "r"),
        ),
        (
            {"instruction": "i", "input": "x", "chosen": "c", "rejected": "r"},
            TextPair("i\n\nx", "c", "r"),
        ),
        ({"instruction": "i", "chosen": "c", "rejected": "r"}, TextPair("i", "c", "r")),
        (
            {"chosen": [user("p"), assistant("c")], "rejected": [user("p"), assistant("r")]},
            TextPair("p", "c", "r"),
        ),
        (
            {
                "prompt": "p",
                "chosen": [system("s"), user("p"), assistant("c")],
                "rejected": [system("s"), user("p"), assistant("r")],
            },
            TextPair("p", "c", "r", system="s"),
        ),
        (
            {
                "prompt": [system("s"), user("p")],
                "chosen": [assistant("c")],
                "rejected": [assistant("r")],
            },
            TextPair("p", "c", "r", system="s"),
        ),
        ({"prompt": [user("p")], "chosen": "c", "rejected": "r"}, TextPair("p", "c", "r")),
        (
            {"prompt": "p", "chosen": [assistant("c")], "rejected": [assistant("r")]},
            TextPair("p", "c", "r"),
        ),
    ],
)
def test_layouts(tmp_path: Path, row: dict[str, Any], expected: TextPair) -> None:
    expected = replace(expected, row=1)
    for rows in ([row], row, {"version": 1, "data": [row]}):
        assert read_pairs(write(tmp_path, rows)).pairs == [expected]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "p", "chosen": "c"}, "no field 'rejected'"),
        ({**GOOD, "chosen": 5}, "field 'chosen' is int, expected text"),
        ({**GOOD, "prompt": None}, "field 'prompt' is NoneType, expected text"),
        ({**GOOD, "system": 1}, "field 'system' is int, expected text"),
        (
            {
                "system": "t",
                "chosen": [system("s"), user("p"), assistant("c")],
                "rejected": [system("s"), user("p"), assistant("r")],
            },
            "system and the system message of the conversation differ",
        ),
        (
            {
                "prompt": "q",
                "chosen": [user("p"), assistant("c")],
                "rejected": [user("p"), assistant("r")],
            },
            "prompt has none of the user's messages in chosen",
        ),
        ({**GOOD, "prompt": " \n"}, "prompt is empty"),
        ({**GOOD, "chosen": ""}, "chosen is empty"),
        ({**GOOD, "rejected": "\t"}, "rejected is empty"),
        ({**GOOD, "rejected": "c"}, "chosen and rejected are identical"),
        ({**GOOD, "chosen": "\ud800"}, "chosen holds half of a Unicode character"),
        ("text", "the row is str, expected an object"),
        ({**GOOD, "chosen": []}, "field 'chosen' has no messages"),
        ({**GOOD, "chosen": ["c"]}, "field 'chosen' holds a message that is not an object"),
        ({**GOOD, "chosen": [{"role": "user"}]}, "chosen, message 1: no field 'content'"),
        (
            {
                "prompt": "p",
                "chosen": [user("p"), assistant("c")],
                "rejected": [user("q"), assistant("r")],
            },
            "chosen and rejected follow different messages",
        ),
        (
            {"prompt": "p", "chosen": [user("c")], "rejected": [user("r")]},
            "the last message is not the assistant's",
        ),
    ],
)
def test_unusable_rows_are_skipped_with_their_reason(tmp_path: Path, row: Any, reason: str) -> None:
    file = read_pairs(write(tmp_path, [GOOD, row, GOOD]))
    assert [pair.row for pair in file.pairs] == [1, 3]
    assert file.skipped == [(2, reason)]


def test_an_empty_instruction_is_an_empty_prompt(tmp_path: Path) -> None:
    row = {"instruction": "i", "input": "x", "chosen": "c", "rejected": "r"}
    file = read_pairs(write(tmp_path, [row, {**row, "instruction": ""}]))
    assert file.skipped == [(2, "prompt is empty")]


values = (
    st.text(max_size=3)
    | st.none()
    | st.integers()
    | st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text(max_size=2)}))
)
names = st.sampled_from(["prompt", "chosen", "rejected", "instruction", "input", "system", "group"])


@given(rows=st.lists(st.dictionaries(names, values) | values, max_size=6))
def test_every_row_is_a_pair_or_skipped(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
) -> None:
    path = write(tmp_path_factory.mktemp("pairs"), [GOOD, *rows])
    file = read_pairs(path)
    numbers = [pair.row for pair in file.pairs] + [row for row, _ in file.skipped]
    assert sorted(numbers) == list(range(1, len(rows) + 2))
    for pair in file.pairs:
        assert pair.prompt.strip()
        assert pair.chosen.strip()
        assert pair.rejected.strip()
        assert pair.chosen != pair.rejected


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(
    pairs=st.lists(
        st.builds(TextPair, texts, texts, texts, group=st.text(st.characters(codec="utf-8")))
        | st.builds(TextPair, texts, texts, texts, system=texts),
        min_size=1,
    )
)
def test_written_pairs_come_back(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[TextPair]
) -> None:
    pairs = [replace(pair, chosen=pair.rejected + "!") for pair in pairs]
    path = tmp_path_factory.mktemp("written") / "new" / "pairs.jsonl"
    write_jsonl(pairs, path)
    assert read_pairs(path).pairs == [
        replace(pair, row=row) for row, pair in enumerate(pairs, start=1)
    ]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"question": "q", "answer": "a"}],
            "no known layout; found columns 'question', 'answer', accepted are "
            "prompt, chosen, rejected | instruction, chosen, rejected | conversations, chosen, ",
        ),
        ([], "no known layout; found no rows"),
        ([1, 2], "no known layout; found 2 rows that are not objects"),
        ({"train": [GOOD], "test": [GOOD]}, "no known layout; found columns 'train', 'test'"),
        ([{**GOOD, "chosen": "r"}] * 2, "none of 2 rows can be used; row 1: chosen and rejected"),
        (
            [{"chosen": "c", "rejected": "r"}],
            "none of 1 rows can be used; row 1: no prompt: no colu",
        ),
    ],
)
def test_unusable_files_are_one_line(tmp_path: Path, rows: Any, message: str) -> None:
    path = write(tmp_path, rows)
    with pytest.raises(WorkbenchError) as caught:
        read_pairs(str(path))
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_many_columns_are_not_all_listed(tmp_path: Path) -> None:
    path = write(tmp_path, [{f"column {index}": 1 for index in range(40)}])
    with pytest.raises(WorkbenchError, match=r"'column 11', \.\.\., accepted"):
        read_pairs(path)


PAIR = TextPair("the robot", "waits", "stops in the aisle", row=7)


def test_encoded_pairs_are_prompt_and_whole_completions(byte_tokenizer: Tokenizer) -> None:
    encoded = encode_pairs([PAIR], byte_tokenizer, max_length=64)
    (pair,) = encoded.pairs
    assert list(pair.prompt) == byte_tokenizer.render_prompt(PAIR.prompt)
    assert list(pair.chosen) == byte_tokenizer.completion(PAIR.chosen)
    assert list(pair.rejected) == byte_tokenizer.completion(PAIR.rejected)
    assert (encoded.texts, encoded.skipped, encoded.truncated) == ([PAIR], [], [])


def test_the_system_text_reaches_the_prompt(byte_tokenizer: Tokenizer) -> None:
    encoded = encode_pairs([replace(PAIR, system="be kind")], byte_tokenizer, max_length=64)
    assert list(encoded.pairs[0].prompt) == byte_tokenizer.render_prompt(PAIR.prompt, "be kind")


def test_long_completions_lose_their_end(byte_tokenizer: Tokenizer) -> None:
    room = len(byte_tokenizer.completion(PAIR.rejected)) - 2
    length = len(byte_tokenizer.render_prompt(PAIR.prompt)) + room
    encoded = encode_pairs([PAIR], byte_tokenizer, length)
    (pair,) = encoded.pairs
    assert list(pair.rejected) == byte_tokenizer.completion(PAIR.rejected)[:room]
    assert list(pair.chosen) == byte_tokenizer.completion(PAIR.chosen)[:room]
    assert encoded.truncated == [(7, ("rejected",))]
    assert encode_pairs([PAIR], byte_tokenizer, length + 2).truncated == []


@given(st.integers(1, 40), st.lists(st.text("robt ", min_size=1, max_size=30), min_size=3))
def test_no_pair_is_longer_than_the_context(
    byte_tokenizer: Tokenizer, max_length: int, some: list[str]
) -> None:
    pairs = [TextPair(some[0], a, b, row) for row, (a, b) in enumerate(zip(some, some[1:]), 1)]  # noqa: B905, RUF007
    try:
        encoded = encode_pairs(pairs, byte_tokenizer, max_length)
    except WorkbenchError:
        return
    for pair in encoded.pairs:
        for side in (pair.chosen, pair.rejected):
            assert 1 <= len(side) <= max_length - len(pair.prompt)
        assert pair.chosen != pair.rejected
    rows = [text.row for text in encoded.texts]
    assert sorted(rows + [row for row, _ in encoded.skipped]) == [pair.row for pair in pairs]
    whole = {pair.row: pair for pair in pairs}
    for row, sides in encoded.truncated:
        assert row in rows
        for side in sides:
            (at,) = [index for index, text in enumerate(encoded.texts) if text.row == row]
            kept = getattr(encoded.pairs[at], side)
            assert len(kept) < len(byte_tokenizer.completion(getattr(whole[row], side)))


def test_rows_that_tokens_cannot_hold_are_skipped(byte_tokenizer: Tokenizer) -> None:
    prompt = len(byte_tokenizer.render_prompt(PAIR.prompt))
    long = replace(PAIR, prompt=PAIR.prompt * 9, row=1)
    same_start = replace(PAIR, chosen="stops in the hall", row=2)
    short = replace(PAIR, row=3)
    encoded = encode_pairs([long, same_start, short], byte_tokenizer, prompt + 2)
    length = len(byte_tokenizer.render_prompt(long.prompt))
    full = encode_pairs([long, short], byte_tokenizer, length)
    assert full.skipped == [
        (1, f"the prompt has {length} tokens, no room for a completion in {length}")
    ]
    assert encoded.skipped == [
        (1, f"the prompt has {length} tokens, no room for a completion in {prompt + 2}"),
        (2, "chosen and rejected have the same tokens after truncation to 2"),
    ]
    assert encoded.texts == [short]


def test_completions_without_tokens_or_difference_are_skipped() -> None:
    tokenizer = Tokenizer.from_words(["good", "bad"])
    rows = [
        TextPair("good", "good", "bad", row=1),
        TextPair("good", "<eos>", "bad", row=2),
        TextPair("good", "strange", "odd", row=3),
    ]
    encoded = encode_pairs(rows, tokenizer, 8)
    assert encoded.texts == rows[:1]
    assert encoded.skipped == [
        (2, "chosen has no tokens but its end of sequence"),
        (3, "chosen and rejected have the same tokens"),
    ]


def test_rows_that_the_template_refuses_are_skipped(byte_tokenizer: Tokenizer) -> None:
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ messages[0].content }}"
    )
    tokenizer = Tokenizer(byte_tokenizer.backend, byte_tokenizer.eos_id, chat_template=template)
    encoded = encode_pairs([PAIR, replace(PAIR, row=8, system="s")], tokenizer, 64)
    assert encoded.texts == [PAIR]
    assert encoded.skipped == [(8, "the chat template does not take this prompt: no system")]


def test_no_pair_left_is_an_error(byte_tokenizer: Tokenizer) -> None:
    with pytest.raises(WorkbenchError, match=r"none of 1 rows can be used; row 7: the prompt has"):
        encode_pairs([PAIR], byte_tokenizer, 2)


def test_transcripts_without_a_prompt_are_told_as_such(tmp_path: Path) -> None:
    turns = "Human: a\n\nAssistant: b\n\nHuman: p\n\nAssistant: "
    once = "Human: p\n\nAssistant: "
    rows = [
        {"chosen": turns + "c", "rejected": turns + "r"},
        {"chosen": once + "c", "rejected": once + "r"},
        {"chosen": "no transcript", "rejected": "Assistant:"},
    ]
    file = read_pairs(write(tmp_path, rows))
    assert [pair.prompt for pair in file.pairs] == ["user: a\n\nassistant: b\n\nuser: p", "p"]
    assert "no prompt: no column" in file.skipped[0].reason


def test_columns_with_other_names_are_read_by_the_names_that_are_meant(tmp_path: Path) -> None:
    rows = [{"question": "p", "best": "c", "worst": "r", "prompt": "another", "group": 3}]
    path, names = write(tmp_path, rows), "prompt=question, chosen=best,rejected=worst"
    assert read_pairs(path, names).pairs == [TextPair("p", "c", "r", 1, "3")]
    swapped = read_pairs(write(tmp_path, [GOOD]), "chosen=rejected,rejected=chosen").pairs
    assert swapped == [TextPair("p", "r", "c", 1)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("prompt", "columns='prompt' is not accepted: NAME=COLUMN"),
        ("prompt=", "is not accepted: NAME=COLUMN"),
        ("question=prompt", "with a name of prompt, chosen, rejected"),
        ("prompt=q,chosen=q", "each column once"),
        ("prompt=q", "no column 'q', which columns='prompt=q' names; found columns 'prompt'"),
    ],
)
def test_columns_that_cannot_be_meant_are_refused(
    tmp_path: Path, columns: str, message: str
) -> None:
    with pytest.raises(WorkbenchError, match=message):
        read_pairs(write(tmp_path, [GOOD]), columns)
