"""JSON or JSONL is recognised by content, and errors name the line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.json_rows import read_json_rows
from workbench.errors import WorkbenchError

json_rows = st.lists(
    st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none()), min_size=1
)


def write(folder: Path, content: str | bytes, name: str = "file.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@given(rows=json_rows, indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_the_same_rows_come_from_either_form(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[object],
    indent: int | None,
    ascii_only: bool,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    whole = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    lines = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    assert read_json_rows(write(folder, whole)) == rows
    assert read_json_rows(write(folder, lines)) == rows
    assert read_json_rows(write(folder, lines.replace("\n", "\r\n\n"))) == rows
    assert read_json_rows(write(folder, b"\xef\xbb\xbf" + lines.encode())) == rows


def test_a_line_separator_within_a_text_ends_no_row(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a": "one\u2028two\x85three"}\n{"a": "four"}\n')
    assert [row["a"] for row in read_json_rows(path)] == ["one\u2028two\x85three", "four"]


def test_one_object_is_one_row(tmp_path: Path) -> None:
    assert read_json_rows(write(tmp_path, '{\n "a": 1\n}')) == [{"a": 1}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ('[\n {"a": 1},\n {"a" 2}\n]', "line 3"),
        ('{"a": 1}\n\n{"a": 2\n{"a": 3}\n', "line 3"),
        ('{"a": 1}\n{"a": 2}\nthe end\n', "line 3"),
        ("prompt,chosen\nx,y\n", "line 1"),
        ('{"a": 1,}\n{"a": 2}\n', "line 1"),
        ("[" * 100_000, "line 1"),
        ("9" * 5000, "line 1"),
        (b'{"a": "\xff"}', "not UTF-8 text: byte 7"),
    ],
)
def test_errors_of_broken_files_name_the_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(WorkbenchError, match=message) as caught:
        read_json_rows(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"no file .*nothing\.json"):
        read_json_rows(tmp_path / "nothing.json")
    with pytest.raises(WorkbenchError, match="is a folder"):
        read_json_rows(tmp_path)
