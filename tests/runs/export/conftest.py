"""Recorded runs to export, and the certificate's script within this process, which is quicker."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.runs.export import certificate
from workbench.runs.run import Run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the script of the certificate in this process, which has loaded the libraries."""
    pytest.importorskip("transformers")

    def run(script: Path, given: dict[str, Any]) -> dict[str, Any]:
        return runpy.run_path(str(script))["main"](given) | {"alone": True}

    monkeypatch.setattr(certificate, "run_alone", run)


@pytest.fixture
def recorded(make_recorded: Callable[..., Run]) -> Callable[..., Path]:
    """Makes the folder of a run of two steps."""

    def make(**settings: Any) -> Path:
        run = make_recorded(**{"max_steps": 2, "samples": 0, "eval_every": 0, **settings})
        for _ in run:
            pass
        assert run.folder is not None
        return run.folder

    return make
