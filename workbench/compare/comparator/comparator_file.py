"""Answers of two models as a file of the LLM Comparator, and back (Kahng et al. 2024).

There a score is above 0 where the answer of model A is better, below 0 where that of B is, and 0
for a tie, up to 1.5 on either side; without a verdict it is null.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.compare.judging.judges import LOSS, TIE, WIN, Outcomes
from workbench.compare.judging.win_rate import Judged
from workbench.compare.judging.winners import JUDGED
from workbench.data.json_rows import read_json, write_json
from workbench.errors import WorkbenchError

BETTER = 1.0  # its score for "A is better"; 0.5 would be slightly, 1.5 much
LABELS = {WIN: "A is better", TIE: "same", LOSS: "B is better"}
SCORE = JUDGED + "score"  # of files whose ratings name no judge of ours
PLACES = ("place", "prompt", "who", "text")
PER_MODEL = {"per_model_number": float, "per_model_boolean": bool}


def write_comparator(
    frame: pd.DataFrame, file: Path | str, a: str, b: str, source: str = ""
) -> int:
    """Write the answers of models `a` and `b` as JSON; returns how many prompts.

    Args:
        frame: of `judged`. Numbers and truths become fields of both models, each judge a rating,
            and an example's score is the mean of its ratings.
        a, b: names in the column `who`; of a trained model and its reference the trained one is A.
        source: what the file says of where it comes from.

    Raises:
        WorkbenchError: a name that is not in the frame, or judges that compared more than two.
    """
    sides = [frame[frame["who"] == name].set_index("place") for name in (a, b)]
    for name, rows in zip((a, b), sides, strict=True):
        if not len(rows):
            accepted = ", ".join(frame["who"].unique())
            raise WorkbenchError(f"{name!r} has no answers; accepted: {accepted}")
    judges = [column for column in frame if column.startswith(JUDGED)]
    if judges and frame["who"].nunique() > 2:
        raise WorkbenchError("the judges compared more than two models; judge these two alone")
    numbers = [c for c in frame.select_dtypes(["number", "bool"]) if c not in (*PLACES, *judges)]
    schema = [{"name": str(c), "type": _kind(frame[c])} for c in numbers]
    if judges:
        schema.append({"name": "judge", "type": "per_rating_string"})
    examples = [
        _example(sides[0].loc[place], sides[1].loc[place], judges, numbers)
        for place in sides[0].index
    ]
    content = {
        "metadata": {"source_path": source or "the DPO workbench", "custom_fields_schema": schema},
        "models": [{"name": a}, {"name": b}],
        "examples": examples,
    }
    write_json(Path(file), content)
    return len(examples)


def _kind(values: pd.Series) -> str:
    return "per_model_boolean" if values.dtype == bool else "per_model_number"


def _example(
    one: pd.Series, other: pd.Series, judges: list[str], numbers: list[str]
) -> dict[str, Any]:
    told = [judge for judge in judges if not math.isnan(one[judge])]
    scores = {judge: 2 * BETTER * (float(one[judge]) - TIE) for judge in told}
    ratings = [
        {
            "score": score,
            "rating_label": LABELS[float(one[judge])],
            "is_flipped": False,
            "rationale": judge.removeprefix(JUDGED),
            "custom_fields": {"judge": judge.removeprefix(JUDGED)},
        }
        for judge, score in scores.items()
    ]
    return {
        "input_text": one["prompt"],
        "tags": [],
        "output_text_a": one["text"],
        "output_text_b": other["text"],
        "score": sum(scores.values()) / len(scores) if scores else None,
        "individual_rater_scores": ratings,
        "custom_fields": {name: [_plain(one[name]), _plain(other[name])] for name in numbers},
    }


def _plain(value: Any) -> Any:
    """As JSON has it: a number that is none becomes null."""
    if isinstance(value, float | int) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value


def read_comparator(path: Path | str) -> pd.DataFrame:
    """The answers in a file of the LLM Comparator, as a frame of `judged`.

    One row per prompt and model: `place`, `prompt`, `who`, `text`, `words`, the fields that have a
    number or a truth for each model, and a column `judged/NAME` for each judge that the file names,
    1 for the better answer, 0 for the worse, 1/2 for a tie; `judged/score` where it names none.

    Raises:
        WorkbenchError: naming the file and the example that is not as the format has it.
    """
    path = Path(path)
    content = read_json(path)
    try:
        names = [str(model["name"]) for model in content["models"]]
        schema = content["metadata"].get("custom_fields_schema", [])
        kinds = {field["name"]: PER_MODEL.get(field["type"]) for field in schema}
        examples = list(content["examples"])
    except (KeyError, TypeError, AttributeError) as error:
        raise WorkbenchError(f"{path} is no file of the LLM Comparator: no {error}") from error
    if len(names) != 2 or len(set(names)) < 2 or not examples:
        raise WorkbenchError(
            f"{path}: models={names}, {len(examples)} examples; two and some needed"
        )
    rows = []
    for place, example in enumerate(examples):
        try:
            rows += _rows(place, example, names, kinds)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise WorkbenchError(
                f"{path}: example {place + 1} is not in the format: {error!r}"
            ) from error
    frame = pd.DataFrame(rows)
    judges = [column for column in frame if column.startswith(JUDGED)]
    return frame[[column for column in frame if column not in judges] + judges]


def _rows(
    place: int, example: dict[str, Any], names: list[str], kinds: dict[str, Any]
) -> list[dict[str, Any]]:
    verdicts = _verdicts(example)
    found = []
    for side, name in enumerate(names):
        text = example["output_text_b" if side else "output_text_a"]
        if not isinstance(text, str) or not isinstance(example["input_text"], str):
            raise ValueError("its texts are not texts alone")
        row: dict[str, Any] = {"place": place, "prompt": example["input_text"], "who": name}
        row |= {"text": text, "words": len(text.split())}
        for field, kind in kinds.items():
            if kind is not None and field not in PLACES:
                value = (example["custom_fields"].get(field) or [None, None])[side]
                row[field] = math.nan if value is None else kind(value)
        row |= {judge: 1 - won if side else won for judge, won in verdicts.items()}
        found.append(row)
    return found


def _verdicts(example: dict[str, Any]) -> dict[str, float]:
    """How far A won, by judge: 1, 1/2 or 0, NaN without a verdict."""
    found = {}
    for rating in example.get("individual_rater_scores") or []:
        judge = (rating.get("custom_fields") or {}).get("judge")
        if isinstance(judge, str) and rating.get("score") is not None:
            found[JUDGED + judge] = _won(rating["score"])
    score = example.get("score")
    return found or {SCORE: math.nan if score is None else _won(score)}


def _won(score: float) -> float:
    return WIN if float(score) > 0 else LOSS if float(score) < 0 else TIE


def judged_pairs(frame: pd.DataFrame) -> Judged:
    """The verdicts of a frame with two models, as `rates_frame` and `explore_win_rates` take them.

    Raises:
        WorkbenchError: it has no judge, or other than two models.
    """
    names = list(frame["who"].unique())
    judges = [column for column in frame if column.startswith(JUDGED)]
    if len(names) != 2 or not judges:
        raise WorkbenchError(f"models={names}, judges={judges}: two models and a judge are needed")
    one, other = (frame[frame["who"] == name] for name in names)
    texts = list(one["prompt"]), list(one["text"]), list(other["text"])
    outcomes = {j.removeprefix(JUDGED): Outcomes.of(*texts, one[j].tolist()) for j in judges}
    return Judged((names[0], names[1]), outcomes)
