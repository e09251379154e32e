"""Policy beside reference: the same prompt, the same seed, the differences marked.

The HTML stands for itself. Differences are marked by tags as well as by inline styles, so they
still show where a notebook is displayed without its styles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher

from IPython.display import HTML, Image, display
from matplotlib.figure import Figure

from workbench.train.events import Sample
from workbench.view.html.elements import escape, png

# Text keeps its own colour, so that it reads on light and dark ground.
MARKS = {
    "del": "text-decoration: underline dotted 2px #D55E00; background: rgba(213, 94, 0, 0.16)",
    "ins": "text-decoration: underline solid 2px #0072B2; background: rgba(0, 114, 178, 0.20)",
}
CELL = "text-align: left; vertical-align: top; padding: 6px 12px; overflow-wrap: anywhere"


def marked_differences(reference: str, policy: str, styled: bool = True) -> tuple[str, str]:
    """Both texts as HTML; words that only the reference has are in <del>, the policy's in <ins>.

    Words and punctuation are compared, spaces are not. All text is escaped. Without `styled` there
    are tags alone, for a page with a style sheet of its own.
    """
    left, right = _words(reference), _words(policy)
    stripped = [word.strip() for word in left], [word.strip() for word in right]
    matcher = SequenceMatcher(a=stripped[0], b=stripped[1], autojunk=False)
    html = ["", ""]
    for kind, a, b, c, d in matcher.get_opcodes():
        for side, words, tag in ((0, left[a:b], "del"), (1, right[c:d], "ins")):
            text = "".join(words)
            html[side] += escape(text) if kind == "equal" else _mark(text, tag, styled)
    return html[0], html[1]


def side_by_side(
    samples: Sequence[Sample] | Mapping[str, Sequence[Sample]],
    extra: Mapping[str, Callable[[Sample], object]] | None = None,
    caption: str = "",
) -> str:
    """A table as HTML: prompt, reference, policy, one row a sample.

    Args:
        samples: of one policy; or of several, by name, that answered the same prompts.
        extra: further columns, a title and what to write for a sample; one policy only.
        caption: a line above the table.
    """
    policies = samples if isinstance(samples, Mapping) else {"policy": samples}
    titles = ["prompt", "reference", *policies, *(extra or {})]
    head = "".join(f'<th style="{CELL}">{escape(title)}</th>' for title in titles)
    rows = "".join(_row(row, extra or {}) for row in zip(*policies.values(), strict=True))
    above = f'<caption style="text-align: left">{escape(caption)}</caption>' if caption else ""
    return (
        f'<table class="wb-side-by-side" style="border-collapse: collapse">{above}'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def show(what: str | Figure) -> None:
    """Show HTML or a figure below the cell."""
    display(HTML(what) if isinstance(what, str) else Image(png(what)))


def marked_answers(texts: Sequence[str], styled: bool = True) -> list[str]:
    """Answers to one prompt as HTML, each marked against the first; see `marked_differences`.

    The first is marked only where there are two: against which of the others would it be?
    """
    both = [marked_differences(texts[0], text, styled) for text in texts[1:]]
    first = both[0][0] if len(both) == 1 else escape(texts[0])
    found = [first, *(right for _, right in both)]
    return [f"<bdi>{text or '<i>(empty)</i>'}</bdi>" for text in found]


def _answers(sample: Sample, others: Sequence[Sample] = ()) -> list[str]:
    """The reference's text and those of the policies as HTML; `others` share the reference's."""
    return marked_answers([sample.reference, sample.policy, *(other.policy for other in others)])


def _row(row: Sequence[Sample], extra: Mapping[str, Callable[[Sample], object]]) -> str:
    cells = [f"<bdi>{escape(row[0].prompt)}</bdi>", *_answers(row[0], row[1:])]
    cells += [escape(str(write(row[0]))) for write in extra.values()]
    return "<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _words(text: str) -> list[str]:
    """Words and punctuation, each with the space before it."""
    return re.findall(r"\s*(?:\w+|[^\w\s])|\s+$", text)


def _mark(text: str, tag: str, styled: bool) -> str:
    """The text within a tag, the space before it outside."""
    body = text.lstrip()
    space = text[: len(text) - len(body)]
    look = f' style="{MARKS[tag]}"' if styled else ""
    return escape(space) + (f"<{tag}{look}>{escape(body)}</{tag}>" if body else "")
