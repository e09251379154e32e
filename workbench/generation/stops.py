"""Where an answer ends: at an end token, or before a stop string."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from workbench.errors import WorkbenchError

Decode = Callable[[Sequence[int]], str]


def cut(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop string in it.

    >>> cut("one. two! three", ["!", ". "])
    'one'
    """
    starts = [text.index(string) for string in stop if string in text]
    return text[: min(starts, default=len(text))]


@dataclass(frozen=True)
class Stops:
    """End tokens, and stop strings with the function that turns token ids into text."""

    tokens: Collection[int]
    strings: tuple[str, ...] = ()
    decode: Decode | None = None

    def __post_init__(self) -> None:
        if self.strings and self.decode is None:
            raise WorkbenchError(
                f"stop={self.strings!r} needs decode, which turns token ids into "
                "text, such as Tokenizer.decode"
            )

    def reached(self, answer: Sequence[int]) -> bool:
        """Whether the last token of an answer ends it.

        The whole text is searched, because a stop string may begin many tokens before.
        """
        if answer[-1] in self.tokens:
            return True
        if not self.strings or self.decode is None:
            return False
        text = self.decode(answer)
        return any(string in text for string in self.strings)

    def without_end(self, answer: Sequence[int]) -> list[int]:
        """The answer without its end token; tokens of a stop string are kept."""
        ended = bool(answer) and answer[-1] in self.tokens
        return list(answer[:-1] if ended else answer)
