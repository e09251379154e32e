"""The command `export`: where its arguments go, what it prints, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.__main__ import main
from workbench.cli.commands import export_command
from workbench.errors import WorkbenchError
from workbench.runs.export.certificate import Certificate, CertificateError

Given = list[tuple[Any, ...]]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What the command passed on; a run "other" gives another model, "broken" is refused."""
    calls: Given = []

    def export(*arguments: Any, progress: Any) -> Certificate:
        calls.append(arguments)
        if arguments[0] == "other":
            raise CertificateError("it is not the trained model")
        if arguments[0] == "broken":
            raise WorkbenchError("no run there")
        return Certificate(arguments[1], arguments[2], notes=["a note"], line="all [b]equal")

    monkeypatch.setattr(export_command, "export_run", export)
    return calls


def test_run_form_and_folder_in_the_order_of_the_help(
    given: Given, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "runs/mine", "--to", "gguf", "out", "--dtype", "f16"]) == 0
    assert given == [("runs/mine", "gguf", "out", "f16", 100)]
    assert capsys.readouterr().out.splitlines() == [
        "written: out", "certificate: all [b]equal", "a note"
    ]  # fmt: skip


def test_the_certificate_as_json(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "run", "out", "--to", "hf", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["line"] == "all [b]equal"


def test_exit_codes(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "other", "out"]) == 1
    assert "error: it is not the trained model" in capsys.readouterr().err
    assert main(["export", "broken", "out"]) == 2
    with pytest.raises(SystemExit):
        main(["export", "run", "out", "--to", "onnx"])


def test_a_folder_that_holds_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "none"), "--to", "hf", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()
