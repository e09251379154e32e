"""Which words of two texts differ."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workbench.generation.common_words import common_blocks
from workbench.view.html.render import Html, escape, render

Part = tuple[str, str]  # "del", "ins" or "", and the text


def differing_parts(reference: str, policy: str) -> tuple[list[Part], list[Part]]:
    """Both texts in parts: words that only the reference has are "del", the policy's "ins".

    Words and punctuation are compared, spaces are not.
    """
    left, right = _words(reference), _words(policy)
    blocks = common_blocks([word.strip() for word in left], [word.strip() for word in right])
    firsts, seconds = ([(block[side], block[2]) for block in blocks] for side in (0, 1))
    return _parts(left, firsts, "del"), _parts(right, seconds, "ins")


def marked_differences(reference: str, policy: str, styled: bool = True) -> tuple[Html, Html]:
    """The parts of both texts as HTML in <del> and <ins>, all text escaped.

    Without `styled` there are tags alone, for a page with a style sheet of its own.
    """
    first, second = (
        render("marked", parts=side, styled=styled) for side in differing_parts(reference, policy)
    )
    return first, second


def marked_parts(texts: Sequence[str]) -> list[list[Part]]:
    """Answers to one prompt in parts, marked against the first as in `marked_answers`."""
    both = [differing_parts(texts[0], text) for text in texts[1:]]
    first = both[0][0] if len(both) == 1 else [("", texts[0])]
    return [first, *(right for _, right in both)]


def marked_answers(texts: Sequence[str], styled: bool = True, previous: bool = False) -> list[Html]:
    """Answers to one prompt as HTML, each marked against the first, or against the `previous` one.

    The first is marked only where there are two: with more, there is no single one to compare
    it with.
    """
    compared = texts[:-1] if previous else [texts[0]] * (len(texts) - 1)
    both = [marked_differences(*pair, styled) for pair in zip(compared, texts[1:], strict=True)]
    first = both[0][0] if len(both) == 1 and not previous else escape(texts[0])
    return [first, *(right for _, right in both)]


def _parts(words: list[str], shared: list[tuple[int, int]], tag: str) -> list[Part]:
    """The text of all words in parts: "" for the shared (start, number) of them, else `tag`."""
    parts, done = [], 0
    for start, size in [*shared, (len(words), 0)]:
        own = "".join(words[done:start])
        body = own.lstrip()  # the space before it stays outside of the tag
        done = start + size
        both = "".join(words[start:done])
        parts += [("", own[: len(own) - len(body)]), (tag, body), ("", both)]
    return [part for part in parts if part[1]]


def _words(text: str) -> list[str]:
    """Words and punctuation, each with the space before it."""
    return re.findall(r"\s*(?:\w+|[^\w\s])|\s+$", text)
