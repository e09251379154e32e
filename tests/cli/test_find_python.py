"""Finding a Python among commands that start nothing, or another version than their name says."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.cli.find_python import find_python

VERSIONS = ((3, 11), (3, 12), (3, 13))
MISSING = "/nothing/of/that/name"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands made here are shell scripts")


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Adds a folder at the end of a PATH that is empty at first, with these commands."""
    folders: list[str] = []
    monkeypatch.setenv("PATH", "")

    def add(**commands: str) -> Path:
        folder = tmp_path / str(len(folders))
        folder.mkdir()
        for name, script in commands.items():
            (folder / f"python3.{name[1:]}").write_text(f"#!/bin/sh\n{script}\n")
            (folder / f"python3.{name[1:]}").chmod(0o755)
        folders.append(str(folder))
        monkeypatch.setenv("PATH", os.pathsep.join(folders))
        return folder

    return add


def test_newest_version_is_taken_wherever_it_is_on_the_path(on_path: Callable[..., Path]) -> None:
    on_path(p11="echo 3 11", p12="echo 3 12")
    folder = on_path(p13="echo 3 13", p14="echo 3 14")
    assert find_python(VERSIONS, MISSING) == [str(folder / "python3.13")]


def test_path_without_any_gives_none(on_path: Callable[..., Path]) -> None:
    on_path(p10="echo 3 10", p14="echo 3 14")
    assert find_python(VERSIONS, MISSING) == []


@pytest.mark.parametrize(
    "script",
    [
        'echo "pyenv: python3.13: command not found" >&2; exit 127',
        "echo 3 13; exit 1",
        "exit 0",
        "echo 3 10",
        "echo 3 13 or so",
        "kill -9 $$",
    ],
)
def test_command_that_starts_nothing_is_passed_over(
    on_path: Callable[..., Path], script: str
) -> None:
    """Of the same name further along the PATH, and of an older version."""
    on_path(p13=script)
    older = on_path(p12="echo 3 12")
    assert find_python(VERSIONS, MISSING) == [str(older / "python3.12")]
    same = on_path(p13="echo 3 13")
    assert find_python(VERSIONS, MISSING) == [str(same / "python3.13")]


def test_file_that_is_no_program_is_passed_over(on_path: Callable[..., Path]) -> None:
    folder = on_path(p13="echo 3 13", p12="echo 3 12", p11="echo 3 11")
    (folder / "python3.13").write_bytes(b"\0 no program")
    (folder / "python3.12").chmod(0o644)
    assert find_python(VERSIONS, MISSING) == [str(folder / "python3.11")]


def test_first_is_asked_before_the_path(on_path: Callable[..., Path], tmp_path: Path) -> None:
    """The Python of a finished set-up stays the one that is used."""
    folder = on_path(p13="echo 3 13")
    own = tmp_path / "python"
    own.write_text("#!/bin/sh\necho 3 11\n")
    own.chmod(0o755)
    assert find_python(VERSIONS, str(own)) == [str(own)]
    own.write_text("#!/bin/sh\necho 3 10\n")
    assert find_python(VERSIONS, str(own)) == [str(folder / "python3.13")]


def test_question_is_one_that_python_answers() -> None:
    assert find_python([sys.version_info[:2]], sys.executable) == [sys.executable]


def test_windows_is_asked_through_its_launcher(
    on_path: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = on_path()
    (folder / "py").write_text('#!/bin/sh\n[ "$1" = -3.12 ] && echo 3 12\n')
    (folder / "py").chmod(0o755)
    assert find_python(VERSIONS, MISSING) == []
    monkeypatch.setattr("workbench.cli.find_python.WINDOWS", True)
    assert find_python(VERSIONS, MISSING) == ["py", "-3.12"]
