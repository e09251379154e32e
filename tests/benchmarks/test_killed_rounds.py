"""Rounds of votes and a constitution that are killed end as if nothing had been."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_six_kills_change_nothing() -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "rounds", "--count", "6", "--seed", "7"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "6 kills, 0 with another result" in ran.stdout
