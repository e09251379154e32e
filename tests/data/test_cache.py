"""Nothing half-written is ever left, whoever notices the trouble."""

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from workbench.data.cache import atomic_folder, atomic_write, cache_folder
from workbench.errors import WorkbenchError

FULL_DISK = [
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("I/O error: No space left on device (os error 28)"),  # how Rust libraries say it
]


def fail_after_writing(error: BaseException) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        target = path / "part" if path.is_dir() else path
        target.write_text("half")
        raise error

    return write


def test_the_environment_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "a" / "b"))
    assert cache_folder() == tmp_path / "a" / "b"
    assert cache_folder().is_dir()


def test_without_it_the_cache_carries_the_project_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORKBENCH_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert "dpo-workbench" in cache_folder().parts


def test_a_cache_below_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WorkbenchError, match="cannot make the folder"):
        cache_folder()


def test_a_write_replaces_the_old_content_and_makes_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    for content in (b"first", b"second"):
        atomic_write(path, partial(Path.write_bytes, data=content))
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_the_new_content_stays_invisible_until_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    written: list[int] = []

    def write(part: Path) -> None:
        part.write_text("new")
        written.append(part.stat().st_ino)
        assert path.read_text() == "old"

    atomic_write(path, write)
    assert path.read_text() == "new"
    assert path.stat().st_ino == written[0], "the file itself took the name, not a copy of it"


@pytest.mark.parametrize("error", FULL_DISK, ids=["python", "rust"])
def test_a_full_disk_names_file_and_folder_and_keeps_the_old_file(
    tmp_path: Path, error: Exception
) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(WorkbenchError, match=r"file\.txt") as caught:
        atomic_write(path, fail_after_writing(error))
    assert str(tmp_path) in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_pass_through_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        atomic_write(tmp_path / "file.txt", fail_after_writing(ZeroDivisionError()))
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "file.txt", fail_after_writing(KeyboardInterrupt()))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    def write(part: Path) -> None:
        (part / "weights").write_text("w")
        assert not (tmp_path / "model").exists()

    atomic_folder(tmp_path / "model", write)
    assert (tmp_path / "model" / "weights").read_text() == "w"
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]


@pytest.mark.parametrize("error", FULL_DISK, ids=["python", "rust"])
def test_a_folder_on_a_full_disk_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(WorkbenchError, match="no space left to write model in"):
        atomic_folder(tmp_path / "model", fail_after_writing(error))
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_disk_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(WorkbenchError, match=r"file in .* can't be written: Read-only file system"):
        atomic_write(tmp_path / "file", lambda part: part.write_text("new"))
    assert list(tmp_path.iterdir()) == []
