"""Data sets of Hugging Face, by the same path from a folder on this machine: no network is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.large.conftest import some_rows, write_rows
from workbench.data.large.cache_files import CacheFiles
from workbench.data.pairs import encode_pairs, read_pairs
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

Tokenise = Callable[..., CacheFiles]
datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_library_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "library")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits, one of them in two files."""
    data = tmp_path / "set" / "data"
    data.mkdir(parents=True)
    rows = some_rows(40)
    for number, part in enumerate((rows[:25], rows[25:])):
        table = pa.Table.from_pylist(part)
        pq.write_table(table, data / f"train-0000{number}-of-00002.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:3]), data / "test-00000-of-00001.parquet")
    return tmp_path / "set"


@pytest.mark.parametrize(("split", "count"), [("", 40), (":train", 40), (":test", 3)])
def test_a_split_has_the_rows_of_its_files(
    tokenise: Tokenise, byte_tokenizer: Tokenizer, folder: Path, tmp_path: Path, split: str,
    count: int,
) -> None:  # fmt: skip
    found = tokenise(f"hub:{folder}{split}")
    plain = write_rows(tmp_path / "rows.jsonl", some_rows(40)[:count])
    wanted = encode_pairs(read_pairs(plain).pairs, byte_tokenizer, 300)
    assert [found.item(number) for number in range(count)] == wanted.pairs
    assert [found.text(number) for number in range(count)] == wanted.texts
    assert tokenise(f"hub:{folder}{split}").folder == found.folder


def test_changed_files_are_noticed(tokenise: Tokenise, folder: Path) -> None:
    first = tokenise(f"hub:{folder}:test")
    pq.write_table(
        pa.Table.from_pylist(some_rows(9)[5:]), folder / "data" / "test-00000-of-00001.parquet"
    )
    again = tokenise(f"hub:{folder}:test")
    assert again.text(0).prompt == "question 5?"
    assert again.folder != first.folder


def test_without_a_network_the_rows_of_the_last_time_are_taken(
    tokenise: Tokenise, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any) -> None:
        raise ConnectionError("Couldn't reach it")

    first = tokenise(f"hub:{folder}:test")
    monkeypatch.setattr(datasets, "load_dataset_builder", unreachable)
    with pytest.warns(UserWarning, match="can't be read: Couldn't reach it; taken are the rows"):
        assert tokenise(f"hub:{folder}:test").folder == first.folder
    with pytest.raises(WorkbenchError, match=r"^hub:ORG/NAME can't be read: Couldn't reach it$"):
        tokenise("hub:ORG/NAME")


@pytest.mark.parametrize(
    ("behind", "told"),
    [
        (":trian", "no split 'trian'; accepted: train, test"),
        (":train:default:more", "is not accepted: hub:ORG/NAME, and behind it :SPLIT"),
        (":train:other", "can't be read: .*other"),
        ("-gone", "can't be read: "),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    tokenise: Tokenise, folder: Path, behind: str, told: str
) -> None:
    with pytest.raises(WorkbenchError, match=told) as caught:
        tokenise(f"hub:{folder}{behind}")
    assert "\n" not in str(caught.value)


def test_votes_are_refused(tokenise: Tokenise, tmp_path: Path) -> None:
    """A later row may take a vote back."""
    (tmp_path / "set").mkdir()
    vote = {"prompt": "p", "a": "x", "b": "y", "vote": "a"}
    write_rows(tmp_path / "set" / "train.jsonl", [vote] * 9)
    with pytest.raises(WorkbenchError, match="votes are read from files of their own"):
        tokenise(f"hub:{tmp_path / 'set'}")


def test_a_file_that_is_no_data_is_told_in_one_line(tokenise: Tokenise, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(WorkbenchError, match="can't be read: ") as caught:
        tokenise(f"hub:{tmp_path / 'set'}")
    assert "\n" not in str(caught.value)
