"""A tokenizer from outside, tried in a process of its own where it holds patterns of its own.

A pattern may take longer with each letter, and a normaliser make a text of gigabytes of a word; in
this process neither could be stopped. Patterns of common models are known and need no trial. The
library gives a pattern up after ten million steps at one position, so that what passes here ends
with other texts, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError

SECONDS, MEMORY = 5, 4 * 2**30  # for the trial
GROWTH = 64  # tokens or letters that one letter may become
PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_ENDS = "'s|'t|'re|'ve|'m|'ll|'d"
KNOWN = frozenset((  # of GPT-2, Llama 3 and Qwen 2
    _ENDS + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    rf"(?i:{_ENDS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    rf"(?i:{_ENDS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
))  # fmt: skip
PLAIN = "The plot of 'Room 101', we'll say, wasn't good... 3,141.59!\n\n\tÉtude: 日本語 — ok? "


def try_tokenizer(content: dict[str, Any], path: Path) -> None:
    """Raise WorkbenchError where a tokenizer's own patterns hang, or blow texts up."""
    parts = {name: content.get(name) for name in PARTS}
    own = [
        one
        for one in _objects(parts)
        if one.get("type") in ("Replace", "Prepend", "Precompiled")
        or one.get("Regex") not in (None, *KNOWN)
    ]
    if not own or all(map(_harmless, own)):
        return
    letters = sorted({letter for text in _texts(own) for letter in text[:2000]})[:200]
    given = json.dumps({"tokenizer": json.dumps(content), "letters": letters})
    package = str(Path(__file__).parents[3])
    paths = [package, os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "RUST_BACKTRACE": "0"}
    try:
        subprocess.run(
            [sys.executable, "-P", "-c", f"from {__name__} import trial; trial()"],
            input=given.encode(), capture_output=True, check=True, timeout=SECONDS,
            env={**os.environ, **environment, "TOKENIZERS_PARALLELISM": "false"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise WorkbenchError(
            f"{path} is no tokenizer to use: its patterns take longer than {SECONDS} s for a few "
            "texts"
        ) from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["it broke off"]
        raise WorkbenchError(
            f"{path} is not a tokenizer: its patterns fail on a few texts: {lines[-1][:200]}"
        ) from error


def trial() -> None:
    """What the other process does: read a tokenizer from its input, and write and read texts."""
    import tokenizers

    try:
        import resource
    except ImportError:  # Windows: the time alone is limited
        pass
    else:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    given = json.loads(sys.stdin.buffer.read())
    backend = tokenizers.Tokenizer.from_str(given["tokenizer"])
    every = list(backend.get_vocab().values())  # what a decoder can meet
    if len(backend.decode(every)) > GROWTH * 32 * (len(every) + 16):
        sys.exit(f"{len(every):,} tokens become too long a text")
    runs = [letter * 300 for letter in [*given["letters"], *PLAIN]]
    for text in [PLAIN, PLAIN * 20, "".join(given["letters"]) * 3, *runs]:
        made = backend.normalizer.normalize_str(text) if backend.normalizer else text
        ids = backend.encode(text).ids
        longest = max(len(made), len(ids), len(backend.decode(ids)) // 32)
        if longest > GROWTH * (len(text) + 16):
            sys.exit(f"{len(text)} letters become {longest:,}")


def _harmless(part: dict[str, Any]) -> bool:
    """A letter put in place of a letter, or before a text."""
    pattern = part.get("pattern")
    written = part.get("content", part.get("prepend"))
    plain = part.get("type") == "Prepend" or (isinstance(pattern, dict) and "String" in pattern)
    return plain and isinstance(written, str) and len(written) <= 1


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    found = [value]
    while found:
        one = found.pop()
        if isinstance(one, dict):
            yield one
            found += one.values()
        elif isinstance(one, list):
            found += one


def _texts(parts: list[dict[str, Any]]) -> Iterator[str]:
    for part in _objects(parts):
        yield from (value for value in part.values() if isinstance(value, str))
