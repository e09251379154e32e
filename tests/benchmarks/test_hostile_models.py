"""Hostile folders end in one line each, and the benchmark sees what goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import hostile_models
from benchmarks.hostile_cases import KINDS, cases
from benchmarks.hostile_models import run
from workbench.errors import WorkbenchError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")
SOME = (
    "llama: index names a pickle", "llama: weights linked outside", "llama: own code",
    "llama: header of 2**60 bytes", "llama: num_hidden_layers is a billion",
    "llama: tokenizer: backtracking", "llama: config is a pipe", "llama: a weight is NaN",
    "llama: tokenizer: no vocabulary", "llama: special token is a list", "gguf: 2**63 settings",
)  # fmt: skip


def test_sound_folders_load_and_hostile_ones_are_refused_in_one_line() -> None:
    told: list[str] = []
    named: dict[str, Any] = {kind: (kind, lambda folder: None) for kind in KINDS}
    assert run(0, 0, told.append, named | {name: cases()[name] for name in SOME}) == 0, told
    assert f"{len(KINDS)} loaded, {len(SOME)} told" in told[-1]


@pytest.mark.full
def test_all_hostile_folders_and_hundreds_at_random() -> None:
    told: list[str] = []
    assert run(300, 60_000, told.append) == 0, "\n".join(told)


def raise_otherwise(folder: Path, kind: str) -> None:
    raise KeyError("hidden_size")


def leave_out_the_name(folder: Path, kind: str) -> None:
    raise WorkbenchError("no weights")


def several_lines(folder: Path, kind: str) -> None:
    raise WorkbenchError(f"{folder}\nhas no weights")


def run_code(folder: Path, kind: str) -> None:
    (folder.parent / "canary").touch()


@pytest.mark.parametrize("fault", [raise_otherwise, leave_out_the_name, several_lines, run_code])
def test_what_goes_wrong_is_seen(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    monkeypatch.setattr(hostile_models, "use", fault)
    monkeypatch.setattr(hostile_models, "make_folders", lambda base: [
        (base / name).mkdir() for name in ("outside", "llama")
    ])  # fmt: skip
    named = {"one": ("llama", lambda folder: None)}
    assert run(0, 0, lambda text: None, named) == 1
