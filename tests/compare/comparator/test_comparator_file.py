"""Files of the LLM Comparator: written with its signs, read back, and read as others write them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.compare import export, judged_pairs, rates_frame, read_comparator, write_comparator
from workbench.errors import WorkbenchError
from workbench.runs.run import Run


def frame() -> pd.DataFrame:
    """Three prompts, answered by "new" and "old": one won, one lost, one tied and once unjudged."""
    rows = [
        (place, f"prompt {place}", who, f"{who} says {place}", 3, who == "new", judged, voted)
        for place, verdicts in enumerate([(1.0, 1.0), (0.0, math.nan), (0.5, 1.0)])
        for who, judged, voted in [("old", *(1 - v for v in verdicts)), ("new", *verdicts)]
    ]
    names = ["place", "prompt", "who", "text", "words", "ended", "judged/rule", "judged/people"]
    return pd.DataFrame(rows, columns=names)


def test_a_score_is_above_0_where_a_is_better(tmp_path: Path) -> None:
    """By the format's description: positive for A, negative for B, 0 for a tie."""
    file = tmp_path / "answers.json"
    assert write_comparator(frame(), file, "new", "old", "a test") == 3
    content = json.loads(file.read_text())
    assert content["models"] == [{"name": "new"}, {"name": "old"}]
    examples = content["examples"]
    assert [example["score"] for example in examples] == [1.0, -1.0, 0.5]  # means of the ratings
    assert [len(example["individual_rater_scores"]) for example in examples] == [2, 1, 2]
    first = examples[0]
    assert (first["output_text_a"], first["output_text_b"]) == ("new says 0", "old says 0")
    assert first["individual_rater_scores"][0]["rating_label"] == "A is better"
    assert first["custom_fields"]["ended"] == [True, False]
    schema = {one["name"]: one["type"] for one in content["metadata"]["custom_fields_schema"]}
    assert schema == {
        "words": "per_model_number", "ended": "per_model_boolean", "judge": "per_rating_string",
    }  # fmt: skip


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write_comparator(frame(), tmp_path / "answers.json", "new", "old")
    keys = ["place", "who"]
    found, wanted = (
        one.set_index(keys).sort_index()
        for one in (read_comparator(tmp_path / "answers.json"), frame())
    )
    pd.testing.assert_frame_equal(found[list(wanted)], wanted, check_dtype=False)
    rates = rates_frame(judged_pairs(found.reset_index())).set_index("judge")
    swapped = rates.loc["rule", "a"] == "old"
    assert (rates.loc["rule", "wins"], rates.loc["rule", "losses"]) == (1, 1)
    assert rates.loc["people", "losses" if swapped else "wins"] == 2
    assert rates.loc["people", "unjudged"] == 1


def others(**changes: Any) -> dict[str, Any]:
    """The smallest file that the format's description has, two models and one example."""
    example = {
        "input_text": "Which city should I visit?",
        "tags": ["Travel"],
        "output_text_a": "You can visit Seoul.",
        "output_text_b": "You can visit Seoul, Busan, and Jeju.",
        "score": -1.25,
        "individual_rater_scores": [],
        "custom_fields": {},
    }
    return {
        "metadata": {"source_path": "any", "custom_fields_schema": []},
        "models": [{"name": "A 1.1"}, {"name": "A 1.0"}],
        "examples": [{**example, **changes}],
    }


@pytest.mark.parametrize(
    ("score", "won"), [(-1.25, [0.0, 1.0]), (0.5, [1.0, 0.0]), (0.0, [0.5, 0.5]), (None, None)]
)
def test_files_of_others(tmp_path: Path, score: float | None, won: list[float] | None) -> None:
    file = tmp_path / "others.json"
    file.write_text(json.dumps(others(score=score)))
    found = read_comparator(file)
    assert list(found["who"]) == ["A 1.1", "A 1.0"]
    assert list(found["words"]) == [4, 7]
    if won is None:
        assert found["judged/score"].isna().all()
    else:
        assert list(found["judged/score"]) == won


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"models": []}, "is no file of the LLM Comparator: no 'metadata'"),
        (others() | {"models": [{"name": "one"}]}, "two and some needed"),
        (others(input_text=[{"data": "x", "type": "image_byte"}]), "example 1 .* not texts alone"),
        (others(score="better"), "example 1 is not in the format"),
    ],
)
def test_what_is_not_in_the_format_is_named(
    tmp_path: Path, content: dict[str, Any], words: str
) -> None:
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(content))
    with pytest.raises(WorkbenchError, match=f"broken.json.*{words}"):
        read_comparator(file)


def test_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="'base' has no answers; accepted: old, new"):
        write_comparator(frame(), tmp_path / "answers.json", "new", "base")
    with pytest.raises(WorkbenchError, match="two models and a judge are needed"):
        judged_pairs(frame().drop(columns=["judged/rule", "judged/people"]))


def test_a_run_with_its_true_reward(make_run: Callable[..., Run], tmp_path: Path) -> None:
    found = export(make_run(max_steps=1), "comparator", tmp_path / "exported")
    assert "judges: true reward" in str(found)
    read = read_comparator(tmp_path / "exported" / "comparator.json")
    assert set(read["who"]) == {"policy", "reference"}
    assert "judged/true reward" in read
    votes = pd.DataFrame([("other", "x", "y", "a")], columns=["prompt", "a", "b", "vote"])
    found = export(make_run(max_steps=1), "comparator", tmp_path / "voted", votes=votes)
    assert "0 verdicts" in str(found)  # no vote is on these answers
    assert "judges: people" in str(found)
    with pytest.raises(WorkbenchError, match="votes are not accepted for hf"):
        export(tmp_path, "hf", tmp_path / "other", votes=votes)
    with pytest.raises(WorkbenchError, match="holds files already"):
        export(tmp_path, "comparator", tmp_path / "exported")
    with pytest.raises(WorkbenchError, match=r"to='onnx' is unknown; accepted: hf, .*comparator"):
        export(tmp_path, "onnx", tmp_path / "other")
