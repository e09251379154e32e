"""Which words of two texts differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from workbench.view.html.render import Html, escape, render


def marked_differences(reference: str, policy: str, styled: bool = True) -> tuple[Html, Html]:
    """Both texts as HTML; words that only the reference has are in <del>, the policy's in <ins>.

    Words and punctuation are compared, spaces are not. All text is escaped. Without `styled` there
    are tags alone, for a page with a style sheet of its own.
    """
    left, right = _words(reference), _words(policy)
    stripped = [word.strip() for word in left], [word.strip() for word in right]
    matcher = SequenceMatcher(a=stripped[0], b=stripped[1], autojunk=False)
    parts: tuple[list[tuple[str, str, str]], ...] = ([], [])  # of each text: tag, space, words
    for kind, a, b, c, d in matcher.get_opcodes():
        for side, words, tag in ((0, left[a:b], "del"), (1, right[c:d], "ins")):
            text = "".join(words)
            body = text.lstrip()  # the space before it stays outside of the tag
            space = text[: len(text) - len(body)]
            parts[side].append((tag if body and kind != "equal" else "", space, body))
    first, second = (render("marked", parts=side, styled=styled) for side in parts)
    return first, second


def marked_answers(texts: Sequence[str], styled: bool = True, previous: bool = False) -> list[Html]:
    """Answers to one prompt as HTML, each marked against the first, or against the `previous` one.

    The first is marked only where there are two: with more, there is no single one to compare
    it with.
    """
    compared = texts[:-1] if previous else [texts[0]] * (len(texts) - 1)
    both = [marked_differences(*pair, styled) for pair in zip(compared, texts[1:], strict=True)]
    first = both[0][0] if len(both) == 1 and not previous else escape(texts[0])
    return [first, *(right for _, right in both)]


def _words(text: str) -> list[str]:
    """Words and punctuation, each with the space before it."""
    return re.findall(r"\s*(?:\w+|[^\w\s])|\s+$", text)
