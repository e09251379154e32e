"""A file of lines that another process writes, read as it grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.runs.folder import line_tail
from workbench.runs.folder.line_tail import Added, LineTail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines"


def add(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_each_line_is_given_once_and_whole(path: Path) -> None:
    tail = LineTail(path)
    assert tail.added() == Added([])
    add(path, b"one\ntw")
    assert tail.added() == Added([b"one"])
    assert tail.added() == Added([])
    add(path, b"o\n\nthree\n")
    assert tail.added() == Added([b"two", b"", b"three"])
    assert tail.added() == Added([])


@pytest.mark.parametrize(
    "lines", [b"one\n", b"one\n2\n", b"one\nother\nand more\n", b"one\ntwo!\n"]
)
def test_a_file_that_was_replaced_is_read_from_its_start(path: Path, lines: bytes) -> None:
    """As the events of a run that goes on from a checkpoint: shorter, as long or longer."""
    tail = LineTail(path)
    add(path, b"one\ntwo\n")
    tail.added()
    path.with_name("new").write_bytes(lines)
    os.replace(path.with_name("new"), path)
    assert tail.added() == Added(lines.split(b"\n")[:-1], anew=True)
    add(path, b"later\n")
    assert tail.added() == Added([b"later"])


def test_a_file_that_was_deleted_is_told_and_read_anew(path: Path) -> None:
    tail = LineTail(path)
    add(path, b"one\n")
    tail.added()
    path.unlink()
    assert [tail.added(), tail.added()] == [Added([], anew=True), Added([])]
    add(path, b"one\n")
    assert tail.added() == Added([b"one"])


def test_much_is_read_in_pieces(path: Path) -> None:
    tail, lines = LineTail(path, chunk=10), [b"%d" % number for number in range(100)]
    add(path, b"\n".join(lines) + b"\n")
    found = list[bytes]()
    while some := tail.added().lines:
        assert sum(map(len, some)) <= 10
        found += some
    assert found == lines


def test_a_line_longer_than_a_piece_is_skipped_with_an_error(path: Path) -> None:
    tail = LineTail(path, chunk=10)
    add(path, b"one\n" + b"x" * 30)
    assert tail.added() == Added([b"one"])
    with pytest.raises(WorkbenchError, match="has a line of 10 bytes or more"):
        tail.added()
    assert tail.added() == Added([])
    add(path, b"xx\ntwo\n")
    assert tail.added() == Added([b"xx", b"two"])
    add(path, b"x" * 30)
    with pytest.raises(WorkbenchError, match="has a line of 10 bytes or more"):
        tail.added()
    path.write_bytes(b"new\n")
    assert tail.added() == Added([b"new"], anew=True)


def test_an_unchanged_file_is_not_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tail = LineTail(path)
    add(path, b"one\ntw")
    tail.added()
    monkeypatch.setattr(line_tail.os, "open", None)
    assert tail.added() == Added([])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    tail = LineTail(path)
    with pytest.raises(WorkbenchError, match="is no file"):
        tail.added()
    assert tail.added() == Added([])
