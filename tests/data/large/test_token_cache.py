"""A cache is made once, in one piece, by one process; what is changed or damaged is made anew."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from tests.data.large.conftest import some_rows, write_rows
from workbench.data.large import cache_files, source_digest
from workbench.data.large.arrow_rows import ParquetFile
from workbench.data.large.cache_files import CacheFiles, mapped
from workbench.data.large.cache_writer import CacheWriter
from workbench.data.large.token_cache import KEY
from workbench.data.layouts.reading import Reading
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.train.methods.preference import Preference

Tokenise = Callable[..., CacheFiles]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were tokenised, block by block."""
    calls: list[int] = []
    encode = Preference.encode

    def counted(self: Preference, texts: Any, *how: Any) -> Any:
        calls.append(len(texts))
        return encode(self, texts, *how)

    monkeypatch.setattr(Preference, "encode", counted)
    return calls


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows.jsonl", some_rows(40))


def left(tmp_path: Path) -> list[str]:
    """What lies in the folder of the caches, without locks and digests."""
    folder = tmp_path / "cache" / "tokens"
    return sorted(path.name for path in folder.iterdir() if path.suffix not in (".lock", "")) + [
        path.name for path in folder.iterdir() if path.is_dir() and len(path.name) == 64
    ]


def items(cache: CacheFiles) -> list[Any]:
    return [cache.item(number) for number in range(len(cache))]


def test_a_file_is_tokenised_once_in_blocks(
    tokenise: Tokenise, rows: Path, encoded: list[int]
) -> None:
    said: list[str] = []
    first = tokenise(rows, said=said)
    assert encoded == [7, 7, 7, 7, 7, 5]
    assert said[0] == f"0.00 looking for changes in {rows}"
    assert said[1].endswith(f"tokenising {rows}, once: 7 rows")
    assert said[-1] == f"1.00 tokenising {rows}, once: 40 rows"
    again = tokenise(rows)
    assert len(encoded) == 6
    assert items(again) == items(first)


def test_other_settings_and_tokenizers_have_caches_of_their_own(
    tokenise: Tokenise, rows: Path, byte_tokenizer: Tokenizer, encoded: list[int]
) -> None:
    names = {
        tokenise(rows, **how).folder.name
        for how in (
            {},
            {"max_length": 299},
            {"reading": Reading(turns="every")},
            {"tokenizer": byte_tokenizer.allowing_special()},
            {"method": "kto"},
            {"method": "reward_model"},  # reads pairs as the first one does
        )
    }
    assert len(names) == 5


@pytest.mark.parametrize("settled", [0.0, 100.0])
def test_a_changed_file_is_noticed_also_with_its_old_size_and_time(
    tokenise: Tokenise, rows: Path, monkeypatch: pytest.MonkeyPatch, settled: float
) -> None:
    """Whether or not its digest was kept: that of a file just written is not."""
    monkeypatch.setattr(source_digest, "SETTLED", settled)
    first, before = tokenise(rows), rows.stat()
    kept = [*(first.folder.parent / "digests").glob("*")]
    assert len(kept) == (settled == 0.0)
    rows.write_text(rows.read_text().replace("question 3?", "question 4?"))
    os.utime(rows, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert rows.stat().st_size == before.st_size
    again = tokenise(rows)
    assert again.text(3).prompt == "question 4?"
    assert again.folder != first.folder


def test_the_digest_of_an_unchanged_file_is_not_computed_again(
    tokenise: Tokenise, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_digest, "SETTLED", 0.0)
    tokenise(rows)
    monkeypatch.delattr(source_digest, "file_digest")
    tokenise(rows)


@pytest.mark.parametrize("name", ["tokens.bin", "texts.bin", "info.json", "skipped.jsonl"])
def test_a_damaged_cache_is_named_and_made_anew(tokenise: Tokenise, rows: Path, name: str) -> None:
    first = tokenise(rows)
    wanted = items(first)
    content = bytearray((first.folder / name).read_bytes() or b" ")
    content[len(content) // 2] ^= 1
    (first.folder / name).write_bytes(content)
    with pytest.warns(UserWarning, match=f"is damaged and made anew: {name}"):
        again = tokenise(rows)
    assert items(again) == wanted


@pytest.mark.parametrize("name", ["facts.bin", "files.json"])
def test_a_missing_file_of_a_cache_is_damage_too(tokenise: Tokenise, rows: Path, name: str) -> None:
    (tokenise(rows).folder / name).unlink()
    with pytest.warns(UserWarning, match=f"{name} is missing"):
        assert len(tokenise(rows)) == 40


def test_what_killed_processes_left_is_removed_and_what_others_make_is_not(
    tokenise: Tokenise, rows: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "tokens"
    own = tokenise(rows).folder.name
    dead = [folder / f".{own[:KEY]}.1.tmp", folder / f".{'a' * KEY}.2.tmp"]
    alive = folder / f".{'b' * KEY}.3.tmp"
    for path in (*dead, alive):
        path.mkdir()
        (path / "tokens.bin").write_bytes(b"half")
    with FileLock(folder / f".{'b' * KEY}.lock"):
        tokenise(rows, max_length=299)
    assert [path.exists() for path in (*dead, alive)] == [False, False, True]


def test_of_two_at_once_one_makes_the_cache_and_the_other_waits(
    tokenise: Tokenise, rows: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    waits, add = threading.Event(), CacheWriter.add

    def slow(self: CacheWriter, *what: Any) -> str:
        assert waits.wait(30), "the second one has not said that it waits"
        return add(self, *what)

    class Said(list[str]):
        def append(self, text: str) -> None:
            super().append(text)
            if "waiting for another process" in text:
                waits.set()

    monkeypatch.setattr(CacheWriter, "add", slow)
    said = Said()
    found: list[CacheFiles] = []
    both = [
        threading.Thread(target=lambda: found.append(tokenise(rows, said=said))) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert len(encoded) == 6
    assert items(found[0]) == items(found[1])


def test_the_pages_that_were_looked_at_are_let_go_now_and_then(
    tokenise: Tokenise, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tokenise(rows)
    maps: list[str] = []
    monkeypatch.setattr(
        cache_files,
        "mapped",
        lambda file, kind: maps.append(Path(file.name).name) or mapped(file, kind),
    )
    items(cache)  # 40 looks, three by each map
    assert maps.count("tokens.bin") == 14
    assert maps.count("facts.bin") + maps.count("lengths.bin") < 3


@pytest.mark.parametrize("method", ["preference", "sft"])
def test_a_cache_that_is_removed_while_it_is_open_can_still_be_read(
    tokenise: Tokenise, rows: Path, method: str
) -> None:
    def content(cache: CacheFiles) -> list[Any]:
        texts = [cache.text(number) for number in range(len(cache))]
        return [items(cache), texts, list(cache.skipped), list(cache.truncated)]

    with rows.open("a") as file:
        file.write('5\n{"prompt": "p", "chosen": "' + "long " * 99 + '", "rejected": "c"}\n')
    wanted, cache = content(tokenise(rows, method)), tokenise(rows, method)
    shutil.rmtree(cache.folder)
    assert content(cache) == wanted
    assert len(wanted[2]) == len(wanted[3]) == 1


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(
    tokenise: Tokenise, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(CacheWriter, "_write", full)
    with pytest.raises(WorkbenchError, match=r"no space left to write .* free some space"):
        tokenise(rows)
    assert left(tmp_path) == []


def test_a_limit_of_the_size_of_a_file_is_told_in_one_line(
    tokenise: Tokenise, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `ulimit -f` and FAT32 have one."""

    def above(*_: Any) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(CacheWriter, "_write", above)
    with pytest.raises(WorkbenchError, match=r"tokens can't be written: File too large$"):
        tokenise(rows)
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_cache_that_can_only_be_read_is_used_for_a_file_whose_digest_is_not_kept(
    tokenise: Tokenise, rows: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As one that another person made: on this machine the file has other times."""
    first = tokenise(rows)

    def refused(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(source_digest, "SETTLED", 0.0)
    monkeypatch.setattr(source_digest, "atomic_write", refused)
    assert tokenise(rows).folder == first.folder


def test_a_cache_folder_that_cannot_be_written_is_named(
    tokenise: Tokenise, rows: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tokens").write_text("a file")
    with pytest.raises(WorkbenchError) as caught:
        tokenise(rows)
    assert str(tmp_path / "cache" / "tokens") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_changes_while_it_is_read_is_refused(
    tokenise: Tokenise, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = CacheWriter.add

    def meanwhile(self: CacheWriter, *what: Any) -> str:
        with rows.open("a") as file:
            file.write('{"prompt": "p", "chosen": "b", "rejected": "c"}\n')
        return add(self, *what)

    monkeypatch.setattr(CacheWriter, "add", meanwhile)
    with pytest.raises(WorkbenchError, match=r"rows\.jsonl changed while it was read"):
        tokenise(rows)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"prompt": "p", "chosen"', r"rows\.jsonl is not JSON: line 43: "),
        (b"[" * 200_000, r"rows\.jsonl is not JSON: line 43: "),
        (b'{"prompt": "\xff"}', r"rows\.jsonl is not UTF-8 text: byte \d+ is wrong, in line 43"),
    ],
    ids=["cut", "deep", "latin"],
)
def test_a_bad_line_far_down_is_named(
    tokenise: Tokenise, rows: Path, tmp_path: Path, line: bytes, told: str
) -> None:
    rows.write_bytes(rows.read_bytes() + b"\n\n" + line + b"\n{}\n")
    with pytest.raises(WorkbenchError, match=told):
        tokenise(rows)
    assert left(tmp_path) == []


def test_a_truncated_or_damaged_parquet_file_is_named(tokenise: Tokenise, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(some_rows(60)), path, row_group_size=20, compression="gzip")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorkbenchError, match=r"rows\.parquet is not Parquet: "):
        tokenise(path)
    middle = ParquetFile(write_bytes(path, whole))
    assert middle.size > 0
    second = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    path.write_bytes(whole[:second] + bytes(60) + whole[second + 60 :])
    with pytest.raises(WorkbenchError, match=r"rows\.parquet is not Parquet: "):
        tokenise(path)
    assert left(tmp_path) == []


def test_two_columns_of_one_name_are_refused(tokenise: Tokenise, tmp_path: Path) -> None:
    texts = [pa.array([letter] * 9) for letter in "abcd"]
    names = ["prompt", "chosen", "rejected", "rejected"]
    pq.write_table(pa.Table.from_arrays(texts, names), tmp_path / "rows.parquet")
    with pytest.raises(WorkbenchError, match=r"rows\.parquet has two columns 'rejected'"):
        tokenise(tmp_path / "rows.parquet")


def test_a_value_that_python_has_no_form_for_is_told_in_one_line(
    tokenise: Tokenise, tmp_path: Path
) -> None:
    """A time in the year 36,500,000."""
    times = pa.array([2**60] * 9, pa.timestamp("ms"))
    table = pa.Table.from_pylist(some_rows(9)).append_column("at", times)
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(WorkbenchError, match=r"rows\.parquet is not Parquet: Python int too"):
        tokenise(tmp_path / "rows.parquet")


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_nested_columns_that_do_not_fit_are_told_row_by_row(
    tokenise: Tokenise, tmp_path: Path
) -> None:
    odd = [{"prompt": f"p{n}", "chosen": {"words": ["a", "b"]}, "rejected": "c"} for n in range(20)]
    pq.write_table(pa.Table.from_pylist(odd), tmp_path / "rows.parquet")
    with pytest.raises(WorkbenchError) as caught:
        tokenise(tmp_path / "rows.parquet")
    message = str(caught.value)
    assert "rows.parquet: none of 20 rows can be used; row 1: " in message
    assert "\n" not in message
    assert left(tmp_path) == []


def test_a_file_without_known_columns_is_named(tokenise: Tokenise, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{"question": "p", "answer": "a"}] * 20)
    with pytest.raises(WorkbenchError, match=r"rows\.jsonl: no known layout; found columns 'quest"):
        tokenise(path)
