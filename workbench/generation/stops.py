"""Where an answer ends: at an end token, or at a text that was asked not to be passed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from workbench.errors import WorkbenchError

Decode = Callable[[Sequence[int]], str]


def cut(text: str, stop: Sequence[str]) -> str:
    """The text before the first of the stop strings that is in it.

    >>> cut("one. two! three", ["!", ". "])
    'one'
    """
    places = (text.find(one) for one in stop)
    return text[: min((place for place in places if place >= 0), default=len(text))]


@dataclass(frozen=True)
class Stops:
    """End tokens, and stop strings with what turns an answer's token ids into its text."""

    tokens: Collection[int]
    strings: tuple[str, ...] = ()
    decode: Decode | None = None

    def __post_init__(self) -> None:
        if self.strings and self.decode is None:
            raise WorkbenchError(
                f"stop={self.strings!r} needs decode, which makes a text of token ids; "
                "Tokenizer.decode does"
            )

    def reached(self, answer: Sequence[int]) -> bool:
        """Whether an answer, that went on up to its last token, ends with it.

        The whole text is looked at: a stop string may begin in a token of long ago.
        """
        if answer[-1] in self.tokens:
            return True
        if not self.strings or self.decode is None:
            return False
        text = self.decode(answer)
        return any(one in text for one in self.strings)

    def without_end(self, answer: Sequence[int]) -> list[int]:
        """The answer without its end token; tokens of a stop string stay."""
        ended = bool(answer) and answer[-1] in self.tokens
        return list(answer[:-1] if ended else answer)
