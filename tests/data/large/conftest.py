"""Large sources that are small: blocks of seven rows, in a cache of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.data.large import arrow_rows, cache_files, hub_rows, json_lines, row_stream
from workbench.data.large.cache_files import CacheFiles
from workbench.data.large.row_stream import large_source
from workbench.data.large.token_cache import tokenised
from workbench.data.layouts.reading import Reading
from workbench.data.tokenizer import Tokenizer
from workbench.train.method import find_method

Tokenise = Callable[..., CacheFiles]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(row_stream, "LARGE", 1)
    monkeypatch.setattr(cache_files, "LOOKS", 3)
    for module in (json_lines, arrow_rows, hub_rows):
        monkeypatch.setattr(module, "AT_ONCE", 7)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tokenise(byte_tokenizer: Tokenizer) -> Tokenise:
    """Opens a file as a method reads it; `said` takes what is told meanwhile."""

    def open_cache(
        path: Path,
        method: str = "preference",
        reading: Reading | None = None,
        max_length: int = 300,
        tokenizer: Tokenizer = byte_tokenizer,
        said: list[str] | None = None,
    ) -> CacheFiles:
        source = large_source(str(path))
        assert source is not None

        def tell(text: str, share: float) -> None:
            if said is not None:
                said.append(f"{share:.2f} {text}")

        return tokenised(
            source, find_method(method), tokenizer, max_length, reading or Reading(), tell
        )

    return open_cache


def write_rows(path: Path, rows: list[Any]) -> Path:
    """One JSON value per line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def some_rows(count: int, prompts: int = 1000) -> list[dict[str, Any]]:
    """Pairs of different lengths; `prompts` different ones."""
    return [
        {
            "prompt": f"question {number % prompts}?",
            "chosen": f"yes {number} " + "well " * (number % 5),
            "rejected": "no " * (1 + number % 7) + str(number),
        }
        for number in range(count)
    ]
