"""Answers to one prompt beside each other, while they are written and when they are done."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.view.html.elements import escape
from workbench.view.html.text_table import marked_answers
from workbench.view.live.writing import FINISHED, STOPPED, WAITING, WRITING

EMPTY = {"reference": "", "policy": ""}
SAID = {WAITING: "waiting for its turn", WRITING: "writing", STOPPED: "stopped here"}
PANES = "display: flex; flex-wrap: wrap; gap: 12px"  # inline, for places without style sheets
PANE = (
    "flex: 1 1 260px; min-width: 0; padding: 8px 12px; border: 1px solid rgba(128, 128, 128, 0.4); "
    "border-radius: 6px"
)
# Of a text that is longer than its pane the end is seen until it is finished. A column in reverse
# keeps its end in view; the margin puts a short text at the top.
STYLE = """<style>
.wb-pane { display: flex; flex-direction: column; overflow: hidden; box-sizing: border-box; }
.wb-pane .wb-said { flex: 1 1 auto; min-height: 0; overflow: auto; }
.wb-panes:not([data-state=finished]) .wb-said { display: flex; flex-direction: column-reverse; }
.wb-panes:not([data-state=finished]) .wb-said p { margin-bottom: auto !important; }
.wb-pane h4 i { font-weight: 400; }
</style>"""


def answer_panes(texts: Mapping[str, str], state: str = "") -> str:
    """HTML that stands for itself: a pane each, by the name of who wrote it.

    `state` is one of `Draft`, "waiting", or empty where nothing was asked.

    Once finished, texts are marked where they differ from the first, see `marked_answers`; before
    that they would be different at every moment, only because one is ahead.
    """
    if state == FINISHED:
        shown = marked_answers(list(texts.values()))
    else:
        shown = [f"<bdi>{escape(text)}</bdi>" for text in (texts or EMPTY).values()]
    told = f" <i>· {SAID[state]}</i>" if state in SAID else ""
    kinds = ["wb-reference", *["wb-policy"] * (len(shown) - 1)]
    filled = "".join(
        f'<section class="wb-pane {kind}" style="{PANE}"><h4 style="margin: 0 0 2px">'
        f'<bdi>{escape(name)}</bdi>{told}</h4><div class="wb-said">'
        f'<p style="margin: 0; overflow-wrap: anywhere">{text}</p></div></section>'
        for kind, name, text in zip(kinds, texts or EMPTY, shown, strict=True)
    )
    return f'<div class="wb-panes" data-state="{state}" style="{PANES}">{filled}</div>'
