"""Text of data, models and file names in a terminal: characters that steer it or hide are shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from rich.console import Console
from rich.segment import Segment

# Controls; formats such as writing directions and characters without width; halves of surrogate
# pairs, as in names of files that are not UTF-8; separators of lines and paragraphs.
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
KEPT = "\n\t\u200c\u200d"  # the last two join letters, in Persian, Hindi and emoji


def printable(text: str) -> str:
    r"""Text whose characters that can't be seen are written as in JSON; line ends and tabs stay.

    JSON keeps its meaning. Seen in a terminal the text can't move the cursor, change the order of
    letters, write to the clipboard or hide a part of itself.

    >>> printable("a\x1b[2Jb")
    'a\\u001b[2Jb'
    """
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character in KEPT or unicodedata.category(character) not in UNSEEN:
        return character
    code = character.encode("utf-16-be", "surrogatepass").hex()  # beyond U+FFFF it has two parts
    return "".join(f"\\u{code[start : start + 4]}" for start in range(0, len(code), 4))


class PrintableConsole(Console):
    """Prints whatever it is given as `printable` text, without reading markup or emoji in it.

    Its own colours and movements of the cursor come through; for a style give `Text`.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """The last step of all that is printed, tables and progress included."""
        return super()._render_buffer(
            segment if segment.control else Segment(printable(segment.text), segment.style)
            for segment in buffer
        )


def show_error(message: str) -> None:
    """One line on standard error, whatever a file's name may hold."""
    line = " ".join(f"error: {message}".splitlines())
    PrintableConsole(stderr=True).print(printable(line), style="red", soft_wrap=True)
