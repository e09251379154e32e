"""The choice in a model's reply."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

CHOICES = ("first", "second", "tie")
READ = 20_000  # characters, the last ones: objects within objects take time to look for


def read_choice(reply: str) -> str | None:
    """The choice in a reply, "first", "second" or "tie"; None where it can't be parsed.

    The last JSON object with the field "better" counts, because models may reason before it;
    without one, the reply has to be one of the three words.

    >>> read_choice('Both are fine. {"better": "second"}')
    'second'
    >>> read_choice("The first one, I would say.") is None
    True
    """
    choices = [item["better"] for item in _objects(reply[-READ:]) if "better" in item]
    word = str(choices[-1] if choices else reply.strip(" \n\t.\"'")).lower()
    return word if word in CHOICES else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, in order."""
    start = text.find("{")
    while start >= 0:
        try:
            item, end = json.JSONDecoder().raw_decode(text, start)
            yield item
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)
