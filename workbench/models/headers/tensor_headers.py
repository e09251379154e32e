"""The safetensors files of a model, and what they hold: names, shapes and types, no weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open

from workbench.data.foreign.own_files import own_file
from workbench.data.json_rows import read_json
from workbench.errors import WorkbenchError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
LONGEST_HEADER = 32 * 2**20  # bytes; that of a file of 5 GB has some 100,000
MOST_TENSORS = 500_000  # of a model; the largest in use have some 90,000


class Stored(NamedTuple):
    """A tensor in a file; `kind` is its type there, such as F32, BF16 or I8."""

    path: Path
    shape: tuple[int, ...]
    kind: str


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: one, or several shards.

    Raises:
        WorkbenchError: there are none, or the index names anything but safetensors of this folder.
    """
    if (folder / WEIGHTS).is_file():
        return [own_file(folder / WEIGHTS)]
    if (folder / INDEX).is_file():
        return [own_file(folder / name) for name in _shards(own_file(folder / INDEX))]
    raise WorkbenchError(
        f"{folder} has no {WEIGHTS}; pickled weights (.bin, .pt) are not read, as they may run code"
    )


def _shards(index: Path) -> list[str]:
    content = read_json(index).get("weight_map")
    if not isinstance(content, dict) or not content:
        raise WorkbenchError(f"{index} has no weight_map with names of weights and of their files")
    for name in content.values():
        plain = isinstance(name, str) and not set(name) & set("/\\:\0")
        if not plain or not name.endswith(".safetensors"):
            raise WorkbenchError(
                f"{index} names {name!r:.80} as a file of weights; accepted are .safetensors files "
                "of the same folder"
            )
    return sorted(set(content.values()))


def stored_tensors(files: Sequence[Path]) -> dict[str, Stored]:
    """What safetensors files hold, by name.

    Raises:
        WorkbenchError: a file is missing or broken, or a name comes twice.
    """
    found: dict[str, Stored] = {}
    for path in files:
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
            if length > LONGEST_HEADER:
                raise WorkbenchError(
                    f"cannot read {path}: its header has {length:,} bytes, or it is no safetensors "
                    "file; fetch or make it again"
                )
            with safe_open(path, framework="pt") as tensors:
                for key in tensors.keys():  # noqa: SIM118 - not a mapping
                    if key in found:
                        raise WorkbenchError(f"{path} holds {key}, as {found[key].path.name} does")
                    part = tensors.get_slice(key)
                    found[key] = Stored(path, tuple(part.get_shape()), part.get_dtype())
        except WorkbenchError:
            raise
        except Exception as error:  # of the library, of the system
            raise WorkbenchError(f"cannot read {path}: {error}; fetch or make it again") from error
    if len(found) > MOST_TENSORS:
        raise WorkbenchError(f"{path} holds {len(found):,} tensors; {MOST_TENSORS:,} are accepted")
    return found
