"""Files of JSON lines that only grow: votes, and the replies of models.

A killed process can truncate a line, and a disk or an editor can change one, so each line ends with
a checksum over what stands before it. Lines without one, of older versions, are taken as they are.
"""

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

from workbench.data.cache import append_line

CHANGED = "it was changed since it was written; if on purpose, take out its crc32"
CHECKED = re.compile(rb'(\{.*), "crc32": (\d{1,10})\}', re.DOTALL)


class Line(NamedTuple):
    """A line that is not blank: what it holds, or `problem`, why that can't be told."""

    number: int
    raw: bytes
    record: Any
    problem: str = ""


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    """Append an object as one line; it is on disk when this returns. Raises OSError."""
    # An unpaired surrogate has no UTF-8 form; backslashreplace writes it as JSON does.
    text = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")
    append_line(path, b'%s, "crc32": %d}\n' % (text[:-1], zlib.crc32(text)))


def read_lines(content: bytes, *objects: Set[str]) -> Iterator[Line]:
    """Every line of a file's content but the blank ones, numbered from 1.

    `objects` are the names in each kind of object: more of them without a checksum are damage.
    """
    for number, line in enumerate(content.split(b"\n"), start=1):
        line = line.strip(b"\0 \t\r")  # a crash of the machine can leave zeros at the end
        if not line:
            continue
        checked = CHECKED.fullmatch(line)
        if checked and zlib.crc32(checked[1] + b"}") != int(checked[2]):
            yield Line(number, line, None, CHANGED)
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            yield Line(number, line, None, "it was cut short or damaged")
            continue
        more = isinstance(record, dict) and any(names < record.keys() for names in objects)
        yield Line(number, line, record, CHANGED if more and not checked else "")
