"""What the table of a comparison shows: a row for each prompt, columns of numbers and choices.

All of it is text and numbers; the script puts texts in as text, and nothing is evaluated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from workbench.compare.answers import LOGP
from workbench.compare.judging.winners import JUDGED, best, extremes
from workbench.runs.large_data import LargeData
from workbench.runs.run import Run
from workbench.view.html.answer_numbers import TITLES
from workbench.view.html.differences import marked_parts

SHOWN = ("tokens", "logratio", "kl", "reward")
TITLE = TITLES | {"logratio": "log-ratio"}
AGAINST_FIRST = ("logratio", "kl")


def table_data(frame: pd.DataFrame, topics: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The table of a frame of `judged` as JSON-ready values.

    Args:
        frame: answers, a row for each prompt and model.
        topics: of prompts, where they are known.

    Returns:
        `names` of the models; `columns`, each with `title`, `group` (a model's name, or ""), `kind`
        ("text", "number" or "choice") and `values`, one for each prompt; `answers`, for each prompt
        and model a list of (tag, text), the tag "del" or "ins" for words that the other lacks;
        `cuts`, tokens at which the answers were cut off; `winners` and `losers`, the `extremes`
        by the first judge, none without a judge.
    """
    names = list(frame["who"].unique())
    groups = [group for _, group in frame.groupby("place", sort=False)]
    prompts = [group["prompt"].iloc[0] for group in groups]
    columns = [
        _column("prompt", "text", prompts),
        _column("words in prompt", "number", [len(prompt.split()) for prompt in prompts]),
    ]
    if topics and (known := [topics.get(prompt, "") for prompt in prompts]) and any(known):
        columns.append(_column("topic", "choice", known))
    judges = [column for column in frame if column.startswith(JUDGED)]
    for judge in judges:
        wins = [best(list(group[judge]), names) for group in groups]
        columns.append(_column("who wins", "choice", wins, judge.removeprefix(JUDGED)))
    for name in names:
        columns += _of_model(frame, name, names[0])
    ends = [extremes(list(group[judges[0]]), names) for group in groups] if judges else []
    return {
        "names": names,
        "places": [int(group["place"].iloc[0]) for group in groups],
        "columns": columns,
        "answers": [marked_parts(list(group["text"])) for group in groups],
        "cuts": [
            [0 if end else int(tokens)
             for end, tokens in zip(group["ended"], group["tokens"], strict=True)]
            for group in groups
        ],
        "winners": [winner for winner, _ in ends],
        "losers": [loser for _, loser in ends],
    }  # fmt: skip


def _of_model(frame: pd.DataFrame, name: str, first: str) -> list[dict[str, Any]]:
    rows = frame[frame["who"] == name]
    found = {metric: rows[metric] for metric in SHOWN if metric in rows}
    if LOGP + name in rows and LOGP + first in rows:
        found["logratio"] = rows[LOGP + name] - rows[LOGP + first]
    judges = [column for column in frame if column.startswith(JUDGED)]
    columns = [
        _column(TITLE.get(metric, metric), "number", found[metric].tolist(), name)
        for metric in SHOWN
        if metric in found and not (name == first and metric in AGAINST_FIRST)
    ]
    if frame["who"].nunique() > 2:  # of two, the column of the winner says all
        columns += [
            _column(f"beats, {judge.removeprefix(JUDGED)}", "number", rows[judge].tolist(), name)
            for judge in judges
        ]
    return columns


def _column(title: str, kind: str, values: list[Any], group: str = "") -> dict[str, Any]:
    if kind == "number":
        values = [None if math.isnan(value) else round(float(value), 4) for value in values]
    return {"title": title, "group": group, "kind": kind, "values": values}


def topics_of(run: Run | None) -> dict[str, str]:
    """The groups of a run's prompts, such as the topics of reviews, where they are known."""
    if run is None:
        return {}
    texts = [*run.data.held_out_texts]
    if not isinstance(run.data, LargeData):
        texts = [*run.data.train_texts, *texts]
    return {text.prompt: text.group for text in texts if getattr(text, "group", "")}


def as_json(data: dict[str, Any]) -> str:
    """JSON that may stand within a <script> element: no tag can begin or end in it."""
    text = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace").decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
