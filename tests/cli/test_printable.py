"""What steers a terminal reaches none, from texts, rows, file names and errors of real commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from workbench.__main__ import main
from workbench.cli.printable import KEPT, UNSEEN, PrintableConsole, printable
from workbench.data.cache import atomic_folder
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.models.load import save_model
from workbench.train.base_model import BaseConfig, cached_base, new_model

CLIPBOARD = "\x1b]52;c;ZXZpbA==\a"
# Escape sequences of both kinds, the way back over what stands there, writing directions, a
# character without width, a tag that no font shows, and markup and emoji that are none.
EVIL = f"a{CLIPBOARD}b\x9b2Jc\r\b\x7fd\u202ee\u2066f\u200bg\U000e0041h\u2028 [red]i[/j] :bomb:"
SHOWN = r"a\u001b]52;c;ZXZpbA==\u0007b\u009b2Jc\u000d\u0008\u007fd\u202ee\u2066f\u200bg\udb40\udc41"


def unseen(text: str) -> str:
    """The characters of a text that no terminal is to get."""
    return "".join(c for c in text if unicodedata.category(c) in UNSEEN and c not in KEPT)


@given(st.text(st.characters()))
def test_nothing_unseen_is_left_and_json_means_the_same(text: str) -> None:
    assert unseen(printable(text)) == ""
    assert printable(printable(text)) == printable(text)
    written = printable(json.dumps(text, ensure_ascii=False))
    assert json.loads(written).encode("utf-16", "surrogatepass") == text.encode(
        "utf-16", "surrogatepass"
    )


@pytest.mark.parametrize(
    "text", ["plain\n\ttext", "naïve 你好 ação", "👩\u200d🔬", "\u0645\u06cc\u200c\u062e"]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_cannot_be_seen_is_shown() -> None:
    assert printable(EVIL).startswith(SHOWN)
    assert printable("\udce9") == r"\udce9"  # of a file name that is not UTF-8


def test_colours_come_through_and_those_of_a_text_do_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    table = Table("\x1b[31mtitle", "[red]")
    table.add_row(Text("\x1b[8mcell"), ":bomb:")
    console = PrintableConsole()
    console.print("\x1b[8mhidden", style="red")
    console.print(table)
    told = capsys.readouterr().out
    assert told.startswith("\x1b[31m\\u001b[8mhidden\x1b[0m\n")
    for shown in (r"\u001b[31mtitle", "[red]", r"\u001b[8mcell", ":bomb:"):
        assert shown in told
    assert "\x1b[8m" not in told


# -- real commands ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evil_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a file of pairs and a run of it, under names and with texts that are evil."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        world = ReviewsConfig()
        model = new_model(Reviews(world), BaseConfig(dim=16, layers=1, hidden_dim=24))
        atomic_folder(cached_base(world), lambda part: save_model(model, part))
        folder = tmp_path_factory.mktemp("evil")
        patch.chdir(folder)
        row = {"prompt": EVIL, "chosen": f"it was superb {EVIL}", "rejected": "it was awful"}
        rows = [row | {"prompt": f"{EVIL} {number}"} for number in range(12)]
        rows += [
            {EVIL: 1},
            row | {"chosen": [{"role": EVIL, "content": "x"}]},
            row | {"chosen": row["rejected"]},
        ]
        name = EVIL.replace("/", "").replace("\r", "")
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        yield folder, name


def told_by(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command wrote to both streams; nothing unseen is in it."""
    assert main(arguments) == code
    out, err = capfd.readouterr()
    assert unseen(out + err) == ""
    return out + err


def test_no_command_lets_anything_through(
    evil_run: tuple[Path, str], capfd: pytest.CaptureFixture[str]
) -> None:
    _, name = evil_run
    flags = ["--held-out", "4", "--batch-size", "4", "--max-steps", "2", "--samples", "1"]
    flags += ["--max-length", "64"]
    told = told_by(capfd, "train", "--data", f"{name}.jsonl", *flags, "--out", name)
    assert r"\u001b]52;c;ZXZpbA==\u0007" in told
    assert "skipped" in told
    short = ["--max-new-tokens", "4"]
    told = told_by(capfd, "sample", name, "--prompt", EVIL, *short)
    assert SHOWN in told
    assert "[red]i[/j] :bomb:" in told
    told = told_by(capfd, "sample", name, "--prompt", EVIL, "--json", *short)
    assert json.loads(told)[0]["prompt"] == EVIL
    assert SHOWN in told_by(capfd, "compare", name, "--prompt", EVIL, *short, "--html", f"{name}.h")
    assert "metric" in told_by(capfd, "evaluate", name)
    source = [f"{name}.jsonl", "--model", "tiny", "--quick"]
    for command in (["doctor", name], ["preflight", *source]):
        for more in ([], ["--json"]):
            assert told_by(capfd, *command, *more, code=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", EVIL],
        ["train", "--model", EVIL],
        ["train", "--loss", EVIL],
        ["sample", EVIL],
        ["evaluate", EVIL],
        ["doctor", EVIL],
        ["preflight", EVIL, "--model", "tiny"],
        ["compare", EVIL],
    ],
)
def test_errors_quote_nothing_that_steers(
    arguments: list[str], capfd: pytest.CaptureFixture[str], evil_run: Any
) -> None:
    told = told_by(capfd, *arguments, code=2)
    assert "error: " in told


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("run_module('workbench', run_name='__main__')", ["train", "--no-flag", EVIL]),
        # What nobody foresaw, in the same process: an error and a warning.
        ("module=run_module('workbench.__main__', run_name='__main__')", ["doctor", EVIL]),
    ],
)
def test_what_others_print_is_printable_too(code: str, arguments: list[str]) -> None:
    unforeseen = (
        "import sys, warnings, workbench.cli.flags as flags\n"
        "from runpy import run_module\n"
        "def parse(given):\n"
        "    warnings.warn(given[1])\n"
        "    raise RuntimeError(given[1])\n"
        f"{'flags.parse = parse' if arguments[0] == 'doctor' else ''}\n"
        f"{code}\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", unforeseen, *arguments], capture_output=True, env=os.environ
    )
    told = (found.stdout + found.stderr).decode()
    assert found.returncode in (1, 2)
    assert "52;c;ZXZpbA==" in told
    assert unseen(told) == ""
