"""The head of a GGUF file: its settings, and the names, shapes and types of its weights.

Each count in it is checked against the bytes that are there, before any library reads the file.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError
from workbench.models.optional import optional

SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
STRING, ARRAY = 8, 9
LONGEST = 2**24  # entries of an array; vocabularies have some 300,000
AXES = 4


class GGUFHead(NamedTuple):
    """Settings by name (of arrays, their length), and shapes by the name of a weight."""

    settings: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]


def gguf_head(path: Path) -> GGUFHead:
    """The head of a file.

    Raises:
        WorkbenchError: it is no GGUF file, broken, or holds weights that are no floating point.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).head(optional("gguf").constants)
    except WorkbenchError as error:
        raise WorkbenchError(f"{path}: {error}") from error
    except (OSError, ValueError, struct.error, LookupError) as error:
        raise WorkbenchError(f"{path} is no GGUF file, or broken: {error}") from error


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self) -> str:
        length = self.take("<Q")
        if length > len(self.data) - self.at:
            raise ValueError(f"a text of {length:,} bytes at byte {self.at:,}")
        self.at += length
        return bytes(self.data[self.at - length : self.at]).decode("utf-8")

    def value(self, kind: int, inside: bool = False) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY and not inside:
            inner, count = self.take("<I"), self.take("<Q")
            if count > min(LONGEST, len(self.data) - self.at):
                raise ValueError(f"an array of {count:,} entries at byte {self.at:,}")
            return [self.value(inner, inside=True) for _ in range(count)]
        if kind not in SCALARS:
            raise ValueError(f"a value of kind {kind} at byte {self.at:,}")
        return self.take(SCALARS[kind])

    def head(self, constants: Any) -> GGUFHead:
        if self.data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self.at = 4
        version, tensors, settings = self.take("<I"), self.take("<Q"), self.take("<Q")
        if version not in (2, 3):
            raise ValueError(f"version {version}; 2 and 3 are accepted")
        read: dict[str, Any] = {}
        for _ in range(min(settings, len(self.data))):
            name = self.text()
            if name in read:
                raise ValueError(f"{name} comes twice")
            read[name] = self.value(self.take("<I"))
        stored = [self._tensor(constants) for _ in range(min(tensors, len(self.data)))]
        align = read.get("general.alignment", 32)
        if type(align) is not int or align < 1:
            raise ValueError(f"general.alignment={align!r}")
        start = math.ceil(self.at / align) * align
        for name, _, offset, size in stored:
            if start + offset + size > len(self.data):
                raise ValueError(f"{name} lies beyond the end of the file")
        shapes = {name: shape for name, shape, _, _ in stored}
        if len(shapes) < len(stored):
            raise ValueError("a weight comes twice")
        return GGUFHead(read, shapes)

    def _tensor(self, constants: Any) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, where it begins and its bytes."""
        name, axes = self.text(), self.take("<I")
        if axes > AXES:
            raise ValueError(f"{name} has {axes} axes")
        shape = tuple(self.take("<Q") for _ in range(axes))
        kind, offset = constants.GGMLQuantizationType(self.take("<I")), self.take("<Q")
        if kind.name in ("I8", "I16", "I32", "I64"):
            raise WorkbenchError(f"{name} is {kind.name}; accepted are weights in floating point")
        block, size = constants.GGML_QUANT_SIZES[kind]
        return name, shape, offset, math.prod(shape) // block * size
