"""Paths as people give them, in functions and on the command line: `~`, names too long, none."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.__main__ import main
from workbench.data.layouts.row_sources import rows_of, write_rows
from workbench.errors import WorkbenchError
from workbench.paths import (
    LONGEST_NAME,
    LONGEST_PATH,
    file_to_write,
    folder_to_write,
    given,
    given_path,
)
from workbench.runs.doctor import diagnose
from workbench.runs.folder.kept_runs import copy_run, kept_runs, rename_run
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.config import TrainConfig

ROWS = [
    {"prompt": f"review of the {topic}", "chosen": "it was superb", "rejected": "it was awful"}
    for topic in ("film", "book", "hotel", "game")
]
LONG = "n" * (LONGEST_NAME + 1)
REFUSED = ["", "a\0b", LONG, f"a/{LONG}/b", "é" * 128, "a/" * (LONGEST_PATH // 2 + 1), "\ud800"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of our own, which is not the working folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(tmp_path / "here")
    return folder


def test_a_tilde_at_the_start_alone_is_the_home_folder(home: Path) -> None:
    assert given("~/a", "data") == str(home / "a")
    assert given_path("~") == home
    for name in ("reviews", "a/~/b", "a~", "Org/model-1.0", "n" * LONGEST_NAME):
        assert given(name, "data") == name


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_file_can_be_called_is_refused_in_one_line(name: str) -> None:
    for take in (given, lambda text, what: file_to_write(Path(given(text, what)), what)):
        with pytest.raises(WorkbenchError, match=r"^out=.* is (not accepted|too long)") as caught:
            take(name, "out")
        assert len(str(caught.value)) < 200


def test_settings_and_functions_take_a_tilde(home: Path) -> None:
    assert TrainConfig(out="~/run").out == str(home / "run")
    settings = TrainConfig(method="grpo", data="~/p.jsonl", reward="~/r.py:f")
    assert (settings.data, settings.reward) == (f"{home}/p.jsonl", f"{home}/r.py:f")
    assert write_rows(ROWS, "~/pairs.jsonl") == home / "pairs.jsonl"
    assert rows_of("~/pairs.jsonl") == ROWS
    for name in REFUSED:
        with pytest.raises(WorkbenchError, match=r"^out="):
            TrainConfig(out=name)
    Path("file").touch()
    with pytest.raises(WorkbenchError, match=r"^out=.* is no folder"):
        Run.create(TrainConfig(model="no-such-model", out="file"))
    with pytest.raises(WorkbenchError, match="too long"):
        load_run(LONG)


def test_runs_take_no_such_names_and_are_as_they_were(
    make_recorded: Callable[..., Run], to_step: Callable[..., object]
) -> None:
    run = make_recorded(max_steps=9)
    to_step(run, 1)
    folder = Path(run.folder or "")
    for name in ("", " ", LONG, "é" * 128):
        with pytest.raises(WorkbenchError, match=r"name=|is too long"):
            run.branch(name)
    run.record.release()  # type: ignore[union-attr]
    for name in ("", LONG, "\U0001d54f" * 80):
        with pytest.raises(WorkbenchError, match=r"^name="):
            rename_run(folder, name)
    with pytest.raises(WorkbenchError, match=r"^copy=.* is too long"):
        copy_run(folder, folder.with_name(LONG))
    assert [path.name for path in folder.parent.glob("run*")] == ["run"]


# -- what is written --------------------------------------------------------------------------


def special(folder: Path) -> list[Path]:
    """A folder, a FIFO, a socket, a device, links to them, and a link to itself."""
    os.mkfifo(folder / "fifo")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("socket")  # the name of a socket has to be short
    listening.close()
    (folder / "folder").mkdir()
    made = [folder / "fifo", folder / "socket", folder / "folder", Path(os.devnull)]
    for path in made[:]:
        made.append(folder / f"link-{path.name}")
        made[-1].symlink_to(path)
    made.append(folder / "loop")
    made[-1].symlink_to("loop")
    return made


@pytest.mark.skipif(os.name != "posix", reason="these kinds of files are Unix's")
def test_nothing_but_a_regular_file_is_replaced(tmp_path: Path) -> None:
    for path in special(Path.cwd()):
        with pytest.raises(WorkbenchError, match=r"^html=.*(is no regular file|is a folder)"):
            file_to_write(path, "html")
    for path in (Path("file/below"), Path("fifo/below")):
        Path("file").touch()
        for check in (file_to_write, folder_to_write):
            with pytest.raises(WorkbenchError, match="takes no new file"):
                check(path, "out")
    with pytest.raises(WorkbenchError, match="is no folder"):
        folder_to_write(Path("file"), "out")
    assert stat.S_ISFIFO(os.lstat("fifo").st_mode)


@pytest.mark.skipif(os.name != "posix", reason="Windows lets few people make links")
def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    Path("page.html").write_text("old")
    Path("link").symlink_to("page.html")
    Path("ahead").symlink_to(tmp_path / "new" / "page.html")
    assert file_to_write(Path("link"), "html") == Path("page.html").absolute()
    assert file_to_write(Path("ahead"), "html") == tmp_path / "new" / "page.html"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line of a command that ends with 2 and leaves nothing behind."""

    def run(*arguments: str) -> str:
        before = sorted(Path.cwd().rglob("*"))
        assert main(arguments) == 2
        told = capsys.readouterr()
        assert told.err.startswith("error: ")
        assert told.err.count("\n") == 1
        assert sorted(Path.cwd().rglob("*")) == before
        return told.err

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        "train --out", "methods --out", "constitution --out", "compare run --html", "doctor",
        "train --data", "train --resume", "constitution --principles", "export run", "compare run",
    ],
)  # fmt: skip
def test_commands_refuse_such_names_before_any_work(
    refused: Callable[..., str], arguments: str
) -> None:
    assert "is too long" in refused(*arguments.split(), LONG)


@pytest.mark.skipif(os.name != "posix", reason="these kinds of files are Unix's")
def test_commands_refuse_what_is_no_file_or_folder_before_any_work(
    refused: Callable[..., str],
) -> None:
    special(Path.cwd())
    Path("file").touch()
    for path in ("fifo", "link-socket", os.devnull):
        assert "html=" in refused("compare", "no-run", "--html", path)
    for command in ("train", "methods", "constitution"):
        for path in ("fifo", "file/below"):
            assert "out=" in refused(command, "--out", path)


def test_runs_are_opened_from_the_home_folder(
    home: Path, make_recorded: Callable[..., Run], to_step: Callable[..., object]
) -> None:
    run = make_recorded(max_steps=1, samples=0)
    list(run)
    os.symlink(run.folder or "", home / "run")
    assert load_run("~/run").reference_hash == run.reference_hash
    assert diagnose("~/run").verdict == diagnose(str(run.folder)).verdict
    assert [one.folder for one in kept_runs("~")] == [home / "run"]


def test_commands_take_a_tilde(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert main(["preflight", "~/pairs.jsonl", "--model", "tiny", "--quick"]) in (0, 1)
    for arguments in (["doctor", "~/none"], ["evaluate", "~/none"], ["compare", "~/none"]):
        assert main(arguments) == 2
        assert str(home / "none") in capsys.readouterr().err
