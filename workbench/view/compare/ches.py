"""The pairs whose chosen completion is the most likely to be displaced, with their texts."""

from __future__ import annotations

import ipywidgets as widgets
import pandas as pd

from workbench.compare.ches import CHES, CHES_NORM
from workbench.errors import WorkbenchError
from workbench.view.compare.token_view import limit
from workbench.view.controls.explorer import Explorer, slider
from workbench.view.html.differences import marked_differences
from workbench.view.html.render import Html, render

PAGE = 8  # pairs shown at a time
SCORES = {"CHES": CHES, "CHES per token": CHES_NORM}


def explore_ches(frame: pd.DataFrame, share: float = 0.1) -> Explorer:
    """The most displacing share of the pairs, ranked by either form of the score.

    Args:
        frame: of `compare.ches_frame`.
        share: of the pairs that is listed, above 0 and up to 1; one pair at least.

    Raises:
        WorkbenchError: a share out of range.
    """
    if not 0 < share <= 1:
        raise WorkbenchError(f"share={share!r} is not accepted: a number above 0 and up to 1")
    count = max(1, round(share * len(frame)))
    score = widgets.Dropdown(options=list(SCORES), description="score")
    page = slider(1, 1, 1, 1, "page")
    limit(page, lambda: -(-count // PAGE), [])
    return Explorer(
        lambda score, page: ches_table(frame, score, count, page - 1), score=score, page=page
    )


def ches_table(frame: pd.DataFrame, score: str, count: int, page: int) -> Html:
    """A page of the first `count` pairs by a score of `SCORES`, as HTML; texts are escaped."""
    values = frame[SCORES[score]]
    ranked = frame.loc[values.sort_values(ascending=False, kind="stable").index[:count]]
    shown = ranked.iloc[page * PAGE : (page + 1) * PAGE]
    rows = []
    for rank, (_, pair) in enumerate(shown.iterrows(), page * PAGE + 1):
        chosen, rejected = marked_differences(pair["chosen"], pair["rejected"])
        number = f"{pair[SCORES[score]]:.4g}"
        texts = {"prompt": pair["prompt"], "chosen": chosen, "rejected": rejected}
        rows.append({"rank": rank, "pair": pair["pair"], "score": number, **texts})
    return render(
        "displacing", count=count, total=len(frame), name=score, rows=rows,
        first=rows[0]["rank"], last=rows[-1]["rank"], median=f"{values.median():.4g}",
        skipped=len(frame.attrs.get("skipped", ())),
    )  # fmt: skip
