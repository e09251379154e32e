"""Files are kept, and runs are made, in a folder of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAIR = {
    "prompt": "review of the film", "chosen": "it was superb .", "rejected": "it was awful ."
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write() -> Callable[..., Path]:
    """Writes rows as JSONL; each is a pair, with these fields changed."""

    def write_rows(name: str, *changes: dict[str, Any]) -> Path:
        rows = [PAIR | change for change in changes]
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return Path(name)

    return write_rows
