"""CSV, TSV and Parquet give the rows that JSON gives, and what is broken is named."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from workbench.data.completions import read_completions
from workbench.data.layouts.table_files import read_table
from workbench.data.pairs import read_pairs
from workbench.errors import WorkbenchError

COLUMNS = ("prompt", "chosen", "rejected", "system", "group")
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ROWS = st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, TEXTS)), min_size=1, max_size=5)


def as_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_json(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows))
    return path


@given(ROWS, st.sampled_from([",", "\t", ";"]), st.sampled_from([".csv", ".tsv"]))
def test_a_table_gives_the_rows_that_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, str]],
    delimiter: str,
    suffix: str,
) -> None:
    path = as_csv(tmp_path_factory.mktemp("table") / f"rows{suffix}", rows, delimiter)
    expected = [
        {**row, "system": row["system"] or None, "group": row["group"] or None} for row in rows
    ]
    assert read_table(path) == expected


GOOD = [
    {"prompt": f"the {n} was", "chosen": 'so, "good"\nindeed', "rejected": "bad"} for n in "abc"
]


def test_pairs_of_every_kind_of_file_are_the_same(tmp_path: Path) -> None:
    messages = [
        {**row, "chosen": [{"role": "assistant", "content": row["chosen"]}]} for row in GOOD
    ]
    parquet.write_table(pyarrow.Table.from_pylist(messages), tmp_path / "pairs.parquet")
    expected = read_pairs(as_json(tmp_path / "pairs.json", GOOD)).pairs
    assert read_pairs(as_csv(tmp_path / "pairs.csv", GOOD)).pairs == expected
    assert read_pairs(as_csv(tmp_path / "PAIRS.CSV", GOOD, ";")).pairs == expected
    assert read_pairs(as_csv(tmp_path / "pairs.tsv", GOOD, "\t")).pairs == expected
    assert read_pairs(tmp_path / "pairs.parquet").pairs == expected


@pytest.mark.parametrize("labels", [("true", "False"), ("1", "0"), ("TRUE", " false")])
def test_labels_of_a_table_are_switches(tmp_path: Path, labels: tuple[str, str]) -> None:
    rows = [{"prompt": "p", "completion": "c", "label": label} for label in labels]
    found, skipped, _ = read_completions(as_csv(tmp_path / "labels.csv", rows))
    assert [text.label for text in found] == [True, False]
    assert skipped == []


def test_a_row_that_is_not_like_its_header_is_skipped_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,chosen,rejected\np,c,r\n\np,c\np,c,r,x\nq,,r\n")
    file = read_pairs(path)
    assert [pair.row for pair in file.pairs] == [1]
    assert file.skipped == [
        (2, "2 cells, the header has 3"),
        (3, "4 cells, the header has 3"),
        (4, "chosen is empty"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.csv", b"", "no known layout; found no rows"),
        ("pairs.csv", b'prompt,chosen,rejected\np,"c,r\n', r"is not CSV: line \d: unexpected end"),
        ("pairs.csv", b"prompt,chosen\np,\xff\n", "is not UTF-8 text"),
        ("pairs.csv", b"a,b\n1,2\n", "no known layout; found columns 'a', 'b'"),
        ("pairs.parquet", b"prompt,chosen,rejected", "is not Parquet"),
        ("none.csv", None, "no file"),
    ],
)
def test_what_is_broken_is_named(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WorkbenchError, match=message):
        read_pairs(path)


def test_a_field_may_be_long(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "chosen": "c" * 300_000, "rejected": "r"}]
    assert len(read_pairs(as_csv(tmp_path / "pairs.csv", rows)).pairs[0].chosen) == 300_000
    assert csv.field_size_limit() == 131_072


def test_parquet_that_is_damaged_within_its_texts_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pyarrow.table({"prompt": ["a" * 40], "chosen": ["b" * 40], "rejected": ["c" * 40]})
    parquet.write_table(
        table, path, compression="none", use_dictionary=False, write_statistics=False
    )
    path.write_bytes(path.read_bytes().replace(b"b" * 40, b"\xbe" * 40))
    with pytest.raises(WorkbenchError, match=r"rows\.parquet is not Parquet: .*utf-8"):
        read_table(path)
