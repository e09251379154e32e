"""Files from elsewhere: kept under a safe name of their own, and listed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.view.data.kept_files import (
    LARGEST,
    check_size,
    files_here,
    found_from,
    keep,
    safe_name,
)


def test_the_same_content_is_kept_once_and_another_gets_a_name_of_its_own() -> None:
    assert keep("pairs.jsonl", b"one") == (Path("data/pairs.jsonl"), True)
    assert keep("pairs.jsonl", b"two") == (Path("data/pairs-2.jsonl"), True)
    assert keep("pairs.jsonl", b"one") == (Path("data/pairs.jsonl"), False)
    assert keep("pairs.jsonl", b"two") == (Path("data/pairs-2.jsonl"), False)
    assert Path("data/pairs.jsonl").read_bytes() == b"one"
    assert sorted(path.name for path in Path("data").iterdir()) == ["pairs-2.jsonl", "pairs.jsonl"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        (r"C:\files\my pairs.csv", "my pairs.csv"),
        (".hidden.json", "hidden.json"),
        ("..", "file"),
        ("", "file"),
        ("a\x00b\n?.tsv", "a_b__.tsv"),
        ("größe.jsonl", "größe.jsonl"),
        ("x" * 300 + ".jsonl", "x" * 100 + ".jsonl"),
    ],
)
def test_a_name_leads_nowhere_else(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_folder_in_the_way_is_told() -> None:
    Path("data").write_text("a file")
    with pytest.raises(WorkbenchError, match="cannot make the folder data"):
        keep("pairs.jsonl", b"one")


def test_data_files_are_listed_newest_first_and_others_are_not() -> None:
    Path("data").mkdir()
    for age, name in enumerate(["new.jsonl", "data/kept.CSV", "old.parquet"]):
        Path(name).write_text("x")
        os.utime(name, (1000 - age, 1000 - age))
    for name in ("notes.txt", ".hidden.json", "data/model.bin"):
        Path(name).write_text("x")
    Path("folder.json").mkdir()
    assert files_here() == [Path("new.jsonl"), Path("data/kept.CSV"), Path("old.parquet")]


def test_a_path_of_the_file_browser_begins_at_any_folder_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("notes/data", "other"):
        Path(folder).mkdir(parents=True)
        Path(folder, "pairs.json").write_text("[]")
    monkeypatch.chdir("notes")
    assert found_from("notes/data/pairs.json") == Path("data/pairs.json")
    assert found_from("other/pairs.json") == tmp_path / "other/pairs.json"
    with pytest.raises(WorkbenchError, match=r"no file gone/pairs\.json"):
        found_from("gone/pairs.json")


def test_a_size_that_cannot_be_taken_is_told() -> None:
    check_size("pairs.json", LARGEST)
    with pytest.raises(WorkbenchError, match="has 300 MB, up to 256 MB can be dropped"):
        check_size("pairs.json", 300 * 2**20)
    with pytest.raises(WorkbenchError, match=r"pairs\.json is empty"):
        check_size("pairs.json", 0)
