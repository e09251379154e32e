"""Whose answer is best, of any number of models, and what chosen prompts are saved as."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.compare.judging.judges import Judge, compare
from workbench.errors import WorkbenchError
from workbench.paths import given_path
from workbench.runs.folder.config_file import write_text

JUDGED = "judged/"  # + name of a judge: share of the other models' answers that this one beats
TRUE_REWARD = "true reward"
NEAR = 1e-9  # means over different numbers of words round differently
TIE, WINNER, LOSER = "tie", "winner", "loser"


def judged(frame: pd.DataFrame, judges: Sequence[Judge] = ()) -> pd.DataFrame:
    """A frame of `answers_frame` with a column `judged/NAME` for each judge.

    It holds the share of the other models' answers to the same prompt that this answer beats, 0 to
    1, ties as half; NaN without a verdict. Where no judge is given and the true reward is known,
    the higher reward wins.
    """
    names = list(frame["who"].unique())
    by_name = {name: frame[frame["who"] == name] for name in names}
    added = {}
    for judge in judges if len(names) > 1 else ():
        texts = {name: list(rows["text"]) for name, rows in by_name.items()}
        prompts = list(by_name[names[0]]["prompt"])
        added[judge.name] = {
            (a, b): judge(prompts, texts[a], texts[b]).scores for a, b in combinations(names, 2)
        }
    if not judges and "reward" in frame and len(names) > 1:
        rewards = {name: rows["reward"].to_numpy(float) for name, rows in by_name.items()}
        added[TRUE_REWARD] = {
            (a, b): _by_reward(rewards[a], rewards[b]) for a, b in combinations(names, 2)
        }
    columns = {JUDGED + name: _shares(frame, names, scores) for name, scores in added.items()}
    return frame.assign(**columns)


def _by_reward(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    known = ~np.isnan(one) & ~np.isnan(other)
    return np.where(known, compare(one, other, NEAR), np.nan)


def _shares(
    frame: pd.DataFrame, names: Sequence[str], scores: dict[tuple[str, str], np.ndarray]
) -> pd.Series:
    """The mean of an answer's scores against the others that were judged."""
    shares = pd.Series(np.nan, index=frame.index)
    for name in names:
        against = [s if name == a else 1 - s for (a, b), s in scores.items() if name in (a, b)]
        table = pd.DataFrame(np.stack(against))  # (other, prompt)
        shares[frame["who"] == name] = table.mean().to_numpy()
    return shares


def best(shares: Sequence[float], names: Sequence[str]) -> str:
    """The one with the largest share; "tie" where several have it, "" without a verdict.

    >>> best([0.0, 1.0, 0.5], ["reference", "one", "two"])
    'one'
    """
    known = [share for share in shares if not math.isnan(share)]
    top = [name for name, share in zip(names, shares, strict=True) if known and share == max(known)]
    return top[0] if len(top) == 1 else TIE if top else ""


def extremes(shares: Sequence[float], names: Sequence[str]) -> tuple[str, str]:
    """One with the largest share and one with the smallest, the first of several; both "" where
    no two differ.

    >>> extremes([0.25, 1.0, 0.25], ["reference", "one", "two"])
    ('one', 'reference')
    """
    known = {name: s for name, s in zip(names, shares, strict=True) if not math.isnan(s)}
    if len(set(known.values())) < 2:
        return "", ""
    return max(known, key=known.__getitem__), min(known, key=known.__getitem__)


def save_prompts(prompts: Iterable[str], file: Path | str) -> int:
    """Write prompts as JSONL, each once, with the key `prompt`; returns how many."""
    rows = [{"prompt": prompt} for prompt in dict.fromkeys(prompts)]
    return _write(rows, file)


def pairs_of(
    frame: pd.DataFrame, places: Iterable[int], chosen: str = WINNER, rejected: str = LOSER
) -> list[dict[str, str]]:
    """Preference pairs out of answers: rows with prompt, chosen and rejected.

    Args:
        frame: of `judged`.
        places: the prompts, by their column `place`.
        chosen, rejected: a model's name; or "winner" and "loser", the `extremes` by the first
            judge. Prompts without them, or with twice the same text, give no pair.

    Raises:
        WorkbenchError: an unknown name, or "winner" where nothing was judged.
    """
    names = list(frame["who"].unique())
    judges = [column for column in frame if column.startswith(JUDGED)]
    for value in (chosen, rejected):
        if value not in (*names, *((WINNER, LOSER) if judges else ())):
            accepted = ", ".join([*names, *((WINNER, LOSER) if judges else ())])
            raise WorkbenchError(f"{value!r} can't be chosen or rejected; accepted: {accepted}")
    pairs = []
    wanted = set(places)
    for _, group in frame[frame["place"].isin(wanted)].groupby("place", sort=False):
        texts = dict(zip(group["who"], group["text"], strict=True))
        if judges:
            ends = extremes(list(group[judges[0]]), names)
            texts[WINNER], texts[LOSER] = (texts.get(end, "") for end in ends)
        better, worse = texts[chosen], texts[rejected]
        if better.strip() and worse.strip() and better != worse:
            prompt = group["prompt"].iloc[0]
            pairs.append({"prompt": prompt, "chosen": better, "rejected": worse})
    return pairs


def save_pairs(pairs: Sequence[dict[str, str]], file: Path | str) -> int:
    """Write pairs as JSONL that `train --data` takes; returns how many."""
    return _write(pairs, file)


def _write(rows: Sequence[dict[str, str]], file: Path | str) -> int:
    if not rows:
        raise WorkbenchError("nothing to save: the selection gives no row")
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    write_text(given_path(file), "".join(lines))
    return len(rows)
