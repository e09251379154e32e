"""`config.toml` of a run, and small text files that are written in one step."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from workbench.data.cache import atomic_write
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.seals import SEAL, is_sealed, sealed
from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig

# Of the run's folder. 2: files hold their SHA-256, a checkpoint what it was made with. 1: neither.
FORMAT = 2


class KeptConfig(NamedTuple):
    """The settings in a file.

    `as_written` is False where they are not those that were written to it, None where that can't be
    told, as the file is of an older format.
    """

    config: TrainConfig
    as_written: bool | None


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
    values = sealed({"format": FORMAT, **settings_of(config)})
    head = {name: values.pop(name) for name in ("format", SEAL)}  # first, should the rest be lost
    return tomli_w.dumps({**head, **values})


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Every setting but those left open; the world's are a table of its own."""
    return {name: value for name, value in asdict(config).items() if value is not None}


def config_from_settings(values: dict[str, Any]) -> TrainConfig:
    """The inverse of `settings_of`.

    Raises:
        WorkbenchError, TypeError, ValueError: a setting is unknown or out of range.
    """
    world = ReviewsConfig(**values.get("world", {}))
    return TrainConfig(**{**values, "world": world})


def config_from_toml(path: Path) -> TrainConfig:
    """The config in a file, see `read_config`."""
    return read_config(path).config


def read_config(path: Path) -> KeptConfig:
    """Read a config; unknown or bad settings are named with the file.

    One that does not say so was written when the names of special tokens were always read as such.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        if not values:
            raise ValueError("it is empty")
        settings = {name: value for name, value in values.items() if name not in ("format", SEAL)}
        config = config_from_settings({"allow_special": True} | settings)
        return KeptConfig(config, is_sealed(values) if SEAL in values else None)
    except FileNotFoundError:
        raise WorkbenchError(f"{path} is not there; {path.parent} holds no run") from None
    except OSError as error:
        raise WorkbenchError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError, WorkbenchError) as error:
        raise WorkbenchError(f"{path} is not a run's config: {error}") from error


def refuse_newer(path: Path) -> None:
    """Raise where a later version wrote the folder of this config."""
    with suppress(OSError, ValueError, RecursionError):
        format = tomllib.loads(path.read_text(encoding="utf-8")).get("format", 1)
        if isinstance(format, int) and format > FORMAT:
            raise WorkbenchError(
                f"{path} is of format {format}, this version reads up to {FORMAT}: update it"
            )
