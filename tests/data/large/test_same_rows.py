"""A large source has the items, texts, skipped and cut rows that a small one of its rows has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.large.conftest import some_rows, write_rows
from workbench.data import pairs
from workbench.data.large import row_stream
from workbench.data.large.cache_files import CacheFiles
from workbench.data.large.hashed_groups import split_by_hash
from workbench.data.layouts.reading import Reading
from workbench.data.split import split_by_group
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.runs.forecast.short_run import no_forecast
from workbench.train.config import TrainConfig
from workbench.train.file_checks.check_file import check_file
from workbench.train.method import find_method

Tokenise = Callable[..., CacheFiles]
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
METHODS = ("preference", "kto", "sft", "grpo")

QUESTION = {"role": "user", "content": "why do robots wait?"}
ODD: list[Any] = [
    {"prompt": "a", "chosen": "the robot", "rejected": "waits"},
    {"prompt": "", "chosen": "b", "rejected": "c"},
    "no object",
    {"prompt": "same", "chosen": "x", "rejected": "x"},
    {"prompt": "A ", "chosen": "one </s>", "rejected": "two", "group": 7, "system": "be kind"},
    {"prompt": "long", "chosen": "the robot " * 90, "rejected": "no"},
    {"prompt": "too long " * 100, "chosen": "b", "rejected": "c"},
    {"chosen": [QUESTION, {"role": "assistant", "content": "so"}],
     "rejected": [QUESTION, {"role": "assistant", "content": "no"}], "prompt": QUESTION["content"]},
    {"prompt": [QUESTION, {"role": "assistant", "content": "they"}, QUESTION],
     "chosen": "they talk ", "rejected": "never", "chosen_score": 3, "rejected_score": 1.5},
    {"prompt": 5, "chosen": "b", "rejected": "c"},
    {"prompt": "half \ud83d", "chosen": "b", "rejected": "c"},
    {"prompt": "a", "chosen": "the other", "rejected": "waits", "group": "g"},
    {"prompt": "end", "chosen": "é ü 漢字", "rejected": "b", "group": "\ud83d"},
]  # fmt: skip


def assert_same(
    found: CacheFiles, path: Any, method: str, tokenizer: Tokenizer, how: Reading, longest: int
) -> None:
    """What the readers of small sources make of the same file."""
    small = find_method(method)
    texts, skipped, layout = small.read(path, how)
    wanted = small.encode(texts, tokenizer, longest)
    assert [found.item(number) for number in range(len(found))] == wanted.items
    assert [found.text(number) for number in range(len(found))] == wanted.texts
    assert list(found.skipped) == sorted([*skipped, *wanted.skipped], key=lambda row: row.row)
    assert list(found.truncated) == wanted.truncated
    assert found.info.layout == layout
    assert found.facts["size"].tolist() == [small.size(item) for item in wanted.items]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_odd_rows_are_those_of_a_small_file(
    tokenise: Tokenise,
    byte_tokenizer: Tokenizer,
    tmp_path: Path,
    method: str,
    template: str | None,
) -> None:
    tokenizer = Tokenizer(byte_tokenizer.backend, byte_tokenizer.eos_id, chat_template=template)
    path = write_rows(tmp_path / "odd.jsonl", [*ODD, *some_rows(30, 20)])
    for how in (Reading(), Reading(turns="every")):
        found = tokenise(path, method, how, 200, tokenizer)
        assert_same(found, path, method, tokenizer, how, 200)
    assert len(found.skipped) > 4


@pytest.mark.parametrize("name", pairs.SHIPPED)
def test_shipped_rows_are_those_of_a_small_file(
    tokenise: Tokenise, byte_tokenizer: Tokenizer, name: str
) -> None:
    path = Path(pairs.__file__).with_name(f"{name}.jsonl")
    for method in METHODS:
        found = tokenise(path, method, None, 500)
        assert_same(found, path, method, byte_tokenizer, Reading(), 500)


@pytest.mark.parametrize("method", ["preference", "kto"])
def test_parquet_and_saved_data_sets_are_read_alike(
    tokenise: Tokenise, byte_tokenizer: Tokenizer, tmp_path: Path, method: str
) -> None:
    datasets = pytest.importorskip("datasets")
    said = {"role": "assistant", "content": "well"}
    rows = [
        {**row, "prompt": [{"role": "user", "content": row["prompt"]}], "group": number // 3}
        for number, row in enumerate(some_rows(40))
    ]
    rows[3]["prompt"] = [*rows[3]["prompt"], said, *rows[3]["prompt"]]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=16)
    datasets.Dataset(table).save_to_disk(tmp_path / "saved", num_proc=None, num_shards=3)
    for path in (tmp_path / "rows.parquet", tmp_path / "saved"):
        found = tokenise(path, method)
        assert_same(found, path, method, byte_tokenizer, Reading(), 300)


def test_a_layout_that_later_rows_show_holds_for_all(
    tokenise: Tokenise, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Two whole conversations, until a row has a prompt: then all rows without one are skipped."""
    talk = "\n\nHuman: why?\n\nAssistant: "
    rows: list[Any] = [{"chosen": f"{talk}yes {n}", "rejected": f"{talk}no"} for n in range(20)]
    rows.append({"prompt": "and?", "chosen": "so", "rejected": "no"})
    path = write_rows(tmp_path / "late.jsonl", rows)
    assert_same(tokenise(path), path, "preference", byte_tokenizer, Reading(), 300)


def test_rows_that_a_later_layout_would_skip_have_its_reason(
    tokenise: Tokenise, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """The first block has no row that can be used, whatever holds for all."""
    rows: list[Any] = [{"chosen": f"yes {n}", "rejected": "no"} for n in range(9)]
    rows += some_rows(5)
    path = write_rows(tmp_path / "late.jsonl", rows)
    assert_same(tokenise(path), path, "preference", byte_tokenizer, Reading(), 300)


@pytest.mark.parametrize(
    ("late", "how"),
    [
        ({"prompt": "and?", "chosen": "so", "rejected": "no"}, Reading()),
        ({"prompt": "and?", "completion": "so", "label": True}, Reading()),
        ({"ask": "and?", "completion": "so", "label": False, "of": "me"},
         Reading("prompt=ask,system=of")),
    ],
)  # fmt: skip
def test_columns_that_the_first_rows_lack_may_stand_in_later_ones(
    tokenise: Tokenise, byte_tokenizer: Tokenizer, tmp_path: Path, late: dict[str, Any],
    how: Reading,
) -> None:  # fmt: skip
    path = write_rows(tmp_path / "late.jsonl", [*[{"id": n} for n in range(9)], late, late])
    said: list[str] = []
    assert_same(tokenise(path, "kto", how, said=said), path, "kto", byte_tokenizer, how, 300)
    assert said[1] == f"0.{said[1][2:4]} looking for columns in {path}"


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_an_empty_system_message_stays_one(
    tokenise: Tokenise, byte_tokenizer: Tokenizer, tmp_path: Path, template: str | None
) -> None:
    """Without one, many chat templates write their own."""
    tokenizer = Tokenizer(byte_tokenizer.backend, byte_tokenizer.eos_id, chat_template=template)
    rows = [{**row, "system": ["", None, "kind"][n % 3]} for n, row in enumerate(some_rows(20))]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    found = tokenise(path, tokenizer=tokenizer)
    assert {found.text(number).system for number in range(20)} == {"", None, "kind"}
    assert_same(found, path, "preference", tokenizer, Reading(), 300)


def test_columns_lists_and_gaps_are_read_as_in_a_small_file(
    tokenise: Tokenise, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    rows = [
        {"ask": f"why {n}?", "responses": ["a b", "c d", "e f"], "scores": [n % 3, 1, 2 + n % 2]}
        for n in range(25)
    ]
    path = write_rows(tmp_path / "lists.jsonl", rows)
    for how in (Reading("prompt=ask"), Reading("prompt=ask", ranked="best_worst", min_gap=2)):
        assert_same(tokenise(path, "preference", how), path, "preference", byte_tokenizer, how, 300)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4)), min_size=2, max_size=25), st.data()
)
def test_held_out_rows_are_those_of_a_small_file(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    held_out, seed = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 5))

    def keys(row: tuple[int, int]) -> list[tuple[str, int]]:
        prompt, group = row
        return [("prompt", prompt)] + ([("group", group)] if group else [])

    prompts, groups = np.array(rows, "u8").T

    def divided(split: Callable[[], Any]) -> Any:
        try:
            return [list(map(int, part)) for part in split()]
        except WorkbenchError as error:
            return str(error)

    found = divided(lambda: split_by_hash(prompts, groups, held_out, seed))
    assert found == divided(lambda: split_by_group(rows, keys, held_out, seed))


def test_a_long_chain_of_rows_is_one_group() -> None:
    """Row n shares its prompt with n + 1 where n is even, its group where it is odd."""
    numbers = np.arange(4001)
    train, held = split_by_hash(
        np.append(numbers // 2, 9999).astype("u8"), np.append((numbers + 1) // 2, 0).astype("u8"),
        1, seed=0,
    )  # fmt: skip
    assert (len(train), held.tolist()) == (4001, [4001])


def test_small_sources_and_those_read_whole_are_not_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = some_rows(30)
    lines = write_rows(tmp_path / "rows.jsonl", rows)
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "rows.csv").write_text("prompt,chosen,rejected\na,b,c\n")
    write_rows(tmp_path / "votes.jsonl", [{"prompt": "p", "a": "x", "b": "y", "vote": "a"}] * 9)
    assert row_stream.large_source(str(lines)) is not None
    for name in ("list.json", "rows.csv", "votes.jsonl", "missing.jsonl", "."):
        assert row_stream.large_source(str(tmp_path / name)) is None, name
    monkeypatch.setattr(row_stream, "LARGE", lines.stat().st_size + 1)
    assert row_stream.large_source(str(lines)) is None
    assert row_stream.large_source(str(lines), any_size=True) is not None


def test_a_preflight_of_a_large_file_looks_at_its_first_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [*some_rows(6), "no object", *some_rows(9)])
    monkeypatch.setattr("workbench.train.file_checks.check_file.FIRST", 6)
    report = check_file(str(path), "tiny")
    assert report.source == f"the first 6 rows of {path}"
    assert max(row for finding in report.findings for row in finding.rows) <= 6
    assert report.notes == (f"the first 6 rows of {path}: it is too large to look through",)
    assert "too many" in no_forecast(TrainConfig(data=str(path)))
