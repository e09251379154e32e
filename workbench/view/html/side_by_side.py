"""What several models answered to the same prompts, beside each other, the differences marked.

Differences are marked by tags as well as by inline styles, so they still show where a notebook is
displayed without its styles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from workbench.view.html.differences import marked_answers
from workbench.view.html.render import Html, escape, render
from workbench.view.live.writing import FINISHED

LOOKS = ("plain", "ruled", "page", "panes", "lines")


@dataclass(frozen=True)
class PromptAnswers:
    """One prompt and its answers, in the order of the models.

    Attributes:
        notes: HTML below each answer; none where left out.
        cuts: tokens at which each answer was cut off; 0: it ran to its end.
    """

    prompt: str
    texts: Sequence[str]
    notes: Sequence[str] = ()
    cuts: Sequence[int] = ()


def side_by_side(
    names: Sequence[str],
    rows: Sequence[PromptAnswers],
    look: str = "plain",
    state: str = FINISHED,
    drawn: str = "",
) -> Html:
    """The answers of the models called `names`, marked against the first model's.

    Args:
        look: "plain", a table as wide as its texts; "ruled", as wide as the view, so that nothing
            moves when texts change; "page", tags and classes alone; "panes", one pane per model,
            for one prompt; "lines", one line per model, each marked against the line before.
        state: one of `Draft`. Only finished texts are marked: while they are being written they
            differ at every moment, only because one is ahead.
        drawn: how the answers were drawn; stands below them.
    """
    shown = []
    for row in rows:
        if state == FINISHED:
            texts = marked_answers(row.texts, styled=look != "page", previous=look == "lines")
            texts = [text or Html("<i>(empty)</i>") for text in texts]
        else:
            texts = [escape(text) for text in row.texts]
        notes = row.notes or [f"cut at {cut} tokens" if cut else "" for cut in row.cuts]
        notes = notes or [""] * len(texts)
        shown.append((row, list(zip(names, texts, notes, strict=True))))
    return render("side_by_side", names=names, rows=shown, look=look, state=state, drawn=drawn)


def answers_beside(frame: pd.DataFrame, marked: bool = True) -> Html:
    """Recorded answers beside each other, as wide as the view.

    Args:
        frame: one row per prompt, in the column `prompt`, and one column of texts per model; the
            texts of the others are marked against those of the first.
        marked: False leaves the texts as they are, for those that have little in common.
    """
    names = [name for name in frame if name != "prompt"]
    rows = [
        PromptAnswers(prompt, texts)
        for prompt, texts in zip(frame["prompt"], frame[names].itertuples(index=False), strict=True)
    ]
    return side_by_side(names, rows, look="ruled", state=FINISHED if marked else "")
