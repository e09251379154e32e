"""Flags: what they offer, told without loading torch, and in peace where nobody reads on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.__main__ import main
from workbench.core.config import LAYOUTS
from workbench.core.losses import LOSSES
from workbench.train.config import DEVICES, PRECISIONS

ROOT = Path(__file__).parents[2]
PROBE = """
import sys
from workbench.__main__ import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print("code", code, "loaded", *sorted({"torch", "pandas"} & sys.modules.keys()), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--help", 0),
        ("train --help", 0),
        ("sample --help", 0),
        ("evaluate --help", 0),
        ("compare --help", 0),
        ("", 2),
        ("trian", 2),
        ("train --loss dpoo", 2),
        ("train --no-such-flag", 2),
        ("train --beta -1", 2),
        ("train --topics 1", 2),
        ("sample run --top-p 2", 2),
        ("compare run --top-p 2", 2),
    ],
)
def test_help_and_wrong_flags_do_not_wait_for_torch(arguments: str, code: int) -> None:
    command = [sys.executable, "-c", PROBE, *arguments.split()]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    *_, last = ended.stderr.splitlines()
    assert last == f"code {code} loaded", "importing workbench.cli.flags must load neither of these"


def test_every_choice_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = capsys.readouterr().out
    for name, choices in (
        ("loss", LOSSES), ("layout", LAYOUTS), ("precision", PRECISIONS), ("device", DEVICES)
    ):  # fmt: skip
        assert f"--{name} {{" in told
        assert all(choice in told for choice in choices)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports a closed pipe differently")
@pytest.mark.parametrize("command", [[], ["train"]])
def test_a_reader_that_has_gone_brings_no_traceback(command: list[str]) -> None:
    """As `python -m workbench --help | head -1` does."""
    reads, writes = os.pipe()
    os.close(reads)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "workbench", *command, "--help"],
            cwd=ROOT,
            stdout=writes,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writes)
    assert ended.stderr == ""
    assert ended.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has a device that is full")
def test_output_onto_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "workbench", "methods", "--list", "--json"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.stderr == "error: cannot write the output: No space left on device\n"
    assert ended.returncode == 1
