"""The findings of a preflight as a table: each with its rows, texts escaped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.data.layouts.row_sources import write_rows
from workbench.errors import WorkbenchError
from workbench.runs.forecast import before_run
from workbench.runs.forecast.forecast import Forecast
from workbench.train.config import TrainConfig
from workbench.view.html.preflight_table import check_pairs

ASKED = "review of the film"


def write(folder: Path, *rows: tuple[str, str, str]) -> Path:
    path = folder / "<b>pairs.jsonl"
    names = ("prompt", "chosen", "rejected")
    path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    return path


def test_a_finding_is_a_line_with_its_rows(tmp_path: Path) -> None:
    good, bad = (ASKED, "it was superb", "it was awful"), (ASKED, "it was awful", "it was superb")
    html = check_pairs(write(tmp_path, good, bad), "tiny")
    assert "2 pairs: 1 wrong, 0 suspicious" in html
    assert ">contradictions<" in html
    assert ">1, 2<" in html
    assert "&lt;b&gt;pairs.jsonl" in html
    assert "<b>" not in html


def test_a_clean_file_has_no_table(tmp_path: Path) -> None:
    html = check_pairs(write(tmp_path, (ASKED, "it was superb", "it was awful")), "tiny")
    assert "1 pair: nothing found" in html
    assert "<table" not in html


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="no file"):
        check_pairs(tmp_path / "none.jsonl", "tiny")
    with pytest.raises(WorkbenchError, match="is unknown"):
        check_pairs(write(tmp_path, ("a", "b", "c")), "no model of that name")
    with pytest.raises(WorkbenchError, match="max_length=9999 is not accepted: tiny takes"):
        check_pairs(
            write(tmp_path, (ASKED, "it was superb", "it was awful")), "tiny", max_length=9999
        )


def test_the_models_pass_and_the_forecast_are_told_when_asked_for(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[TrainConfig] = []

    def expected(config: TrainConfig) -> Forecast:
        asked.append(config)
        return Forecast(30, 90.0, 150.0, 3_400_000_000)

    monkeypatch.setattr(before_run, "forecast", expected)
    file = write(tmp_path, (ASKED, "it was superb", "it was awful"))
    html = check_pairs(file, str(model_folder), quick=False, epochs=7)
    assert "pass over 1 pairs" in html
    assert "forecast: 30 steps in 1.5 minutes" in html
    assert (asked[0].epochs, asked[0].data) == (7, str(file))


def test_a_file_is_looked_through_as_it_would_be_read(tmp_path: Path) -> None:
    def said(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": ASKED}, {"role": "assistant", "content": text}]

    rows = [{"chosen": said("good") + said("good"), "rejected": said("bad") + said("good")}]
    with pytest.raises(WorkbenchError, match="--turns every"):
        check_pairs(write_rows(rows, tmp_path / "talk.jsonl"), "tiny")
    assert "1 pair:" in check_pairs(tmp_path / "talk.jsonl", "tiny", turns="every")
