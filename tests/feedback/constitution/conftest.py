"""A chat that replies by a script and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

Reply = Callable[[str, int], Any]


class FakeChat:
    """Replies `reply(text, seed)`, one after the other; an exception is raised in its turn."""

    def __init__(self, reply: Reply, name: str = "fake") -> None:
        self.reply, self.name = reply, name
        self.asked: list[tuple[str, int]] = []

    @property
    def identity(self) -> dict[str, str]:
        return {"model": self.name}

    def replies(self, texts: Sequence[str], seed: int) -> Iterator[tuple[int, Any]]:
        for index, text in enumerate(texts):
            self.asked.append((text, seed))
            value = self.reply(text, seed)
            if isinstance(value, Exception):
                raise value
            yield index, value

    def chances(
        self, texts: Sequence[str], options: tuple[str, str], seed: int
    ) -> Iterator[tuple[int, Any]]:
        return self.replies(texts, seed)

    def stream(self, text: str, seed: int) -> Iterator[str]:
        words = str(self.reply(text, seed)).split(" ")
        for count in range(1, len(words) + 1):
            yield " ".join(words[:count])


@pytest.fixture
def fake_chat() -> type[FakeChat]:
    return FakeChat
