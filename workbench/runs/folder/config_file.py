"""`config.toml` of a run, and small text files that are written in one step."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w

from workbench.data.cache import atomic_write
from workbench.data.reviews.config import ReviewsConfig
from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 file in one step."""
    with naming(path):
        atomic_write(path, lambda part: part.write_text(text, encoding="utf-8"))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Tell in one line what can't be written."""
    try:
        yield
    except OSError as error:
        raise WorkbenchError(
            f"{path.name} in {path.parent} can't be written: {error.strerror}"
        ) from error


def config_to_toml(config: TrainConfig) -> str:
    """TOML of a config; open fields are left out, the world is a table of its own."""
    return tomli_w.dumps(_without_open(asdict(config)))


def _without_open(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def config_from_toml(path: Path) -> TrainConfig:
    """Read a config; unknown or bad settings are named with the file.

    One that does not say so was written when the names of special tokens were always read as such.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        world = ReviewsConfig(**values.pop("world", {}))
        return TrainConfig(**({"allow_special": True} | values), world=world)
    except FileNotFoundError:
        raise WorkbenchError(f"{path} is not there; {path.parent} holds no run") from None
    except (ValueError, TypeError, WorkbenchError) as error:
        raise WorkbenchError(f"{path} is not a run's config: {error}") from error
