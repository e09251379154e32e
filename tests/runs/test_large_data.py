"""Runs on a large source: the same steps as on a small one, a small folder, resumed bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from workbench.cli.commands import train_command
from workbench.data.large import json_lines, row_stream
from workbench.data.large.lazy_items import LazyItems
from workbench.errors import WorkbenchError
from workbench.runs.folder.record import Record
from workbench.runs.large_data import LargeData
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.events import EvalEvent, Event, StepEvent

MakeRun = Callable[..., Run]
ToStep = Callable[[Run, int], list[Event]]
NEVER = 10**12


@pytest.fixture(autouse=True)
def cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(json_lines, "AT_ONCE", 16)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether sources are large from now on."""

    def switch(on: bool) -> None:
        monkeypatch.setattr(row_stream, "LARGE", 0 if on else NEVER)

    switch(True)
    return switch


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """50 pairs in the words of the reviews, some prompts twice, one row that can't be used."""
    words = ["the", "plot", "was", "good", "bad", "film", "great", "awful", "dull", "actors"]
    lines = []
    for n in range(50):
        prompt = f"the {words[n % 10]} {words[(n * 7) % 9]} was"
        chosen = f"{words[3]} the {words[n % 8]} " + "great " * (n % 4)
        row = {"prompt": prompt, "chosen": chosen, "rejected": f"{words[7]} {words[(n * 3) % 10]}"}
        lines.append(json.dumps(row if n != 20 else {**row, "chosen": ""}) + "\n")
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(lines))
    return str(path)


def numbers(events: list[Event]) -> list[dict[str, float]]:
    """The metrics of all steps and evaluations but for the clock."""
    return [
        {name: value for name, value in event.metrics.items() if name != "pairs_per_second"}
        for event in events
        if isinstance(event, StepEvent | EvalEvent)
    ]


ROLLOUT = {"rollout_size": 16, "batch_size": 8, "max_steps": 4, "held_out": 5, "reward": "short"}


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "dpo", "reference": "live"},
        {"loss": "simpo"},
        {"loss": "kto", "reference": "live"},
        {"loss": "sft"},
        {"loss": "bradley_terry"},
        {"loss": "grpo", **ROLLOUT},
        {"loss": "dpo", "reference": "cached"},
        {"loss": "kto", "reference": "cached", "bucket": False, "held_out": 0},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_steps_are_those_of_a_small_source(
    make_run: MakeRun, large: Callable[[bool], None], rows: str, settings: dict[str, Any]
) -> None:
    found = {}
    for on in (True, False):
        large(on)
        run = make_run(**{"data": rows, "max_steps": 7, **settings})
        assert isinstance(run.data, LargeData) == on
        found[on] = (
            numbers(list(run)), list(run.data.train), run.data.held_out, list(run.skipped),
            list(run.data.train_texts), run.data.held_out_texts, run.prompts,
            run.data.known.held_out, run.live_parameters,
        )  # fmt: skip
    assert found[True] == found[False]
    assert len(found[True][0]) > 4


def test_no_item_is_made_but_those_that_a_step_needs(
    make_run: MakeRun, large: Callable[[bool], None], rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(data=rows, loss="simpo", max_steps=1)
    made: list[int] = []
    get = LazyItems.__getitem__
    monkeypatch.setattr(
        LazyItems, "__getitem__", lambda self, index: made.append(index) or get(self, index)
    )
    run._batches.next(run.policy)
    len(run.data.train), run.data.hash, run.data.known, run.prompts
    assert len(made) == 8


def test_a_large_source_is_scored_by_the_live_reference_unless_asked_otherwise(
    make_run: MakeRun, large: Callable[[bool], None], rows: str
) -> None:
    assert make_run(data=rows).config.reference == "live"
    assert make_run(data=rows, reference="cached").config.reference == "cached"
    assert make_run(data=rows, loss="simpo").config.reference is None
    large(False)
    assert make_run(data=rows).config.reference == "cached"


@pytest.mark.parametrize("loss", ["dpo", pytest.param("kto", marks=pytest.mark.full)])
def test_a_run_resumed_in_the_middle_of_an_epoch_repeats_the_whole_one(
    make_recorded: MakeRun,
    large: Callable[[bool], None],
    to_step: ToStep,
    rows: str,
    loss: str,
) -> None:
    settings = {"data": rows, "loss": loss, "checkpoint_every": 3, "batch_size": 4}
    whole = make_recorded("whole", **settings)
    list(whole)
    part = make_recorded("part", **settings)
    assert len(part._batches) > 5, "the third step is within the first epoch"
    to_step(part, 4)
    assert part.record is not None
    part.record.release()
    again = Run.resume(part.folder or "")
    list(again)
    assert numbers(again.events) == numbers(whole.events)
    ends = [Record(run.folder).checkpoints()[-1] / "policy.safetensors" for run in (whole, again)]  # type: ignore[arg-type]
    one, other = map(load_file, ends)
    assert all(one[name].equal(other[name]) for name in one)


def test_a_run_goes_on_as_it_began_whatever_counts_as_large_by_then(
    make_recorded: MakeRun, large: Callable[[bool], None], to_step: ToStep, rows: str
) -> None:
    for on in (True, False):
        large(on)
        run = make_recorded(f"run-{on}", data=rows, checkpoint_every=1, max_steps=3)
        to_step(run, 2)
        assert run.record is not None
        run.record.release()
        large(not on)
        again = Run.resume(run.folder or "")
        assert isinstance(again.data, LargeData) == on
        assert again.data_hash == run.data_hash
        assert len(numbers(list(again))) > 0


def test_other_rows_are_refused(
    make_recorded: MakeRun, large: Callable[[bool], None], to_step: ToStep, rows: str
) -> None:
    run = make_recorded("run", data=rows, checkpoint_every=1)
    to_step(run, 2)
    assert run.record is not None
    run.record.release()
    path = Path(rows)
    path.write_text(path.read_text().replace("the plot", "the film", 1))
    with pytest.raises(
        WorkbenchError, match=r"rows\.jsonl: the pairs of this run had data_hash la"
    ):
        Run.resume(run.folder or "")


def test_a_run_folder_lists_what_was_skipped_and_the_first_rows_that_were_cut(
    make_recorded: MakeRun,
    large: Callable[[bool], None],
    rows: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("workbench.runs.large_data.SHOWN", 3)
    run = make_recorded("run", data=rows, max_length=8, max_steps=1, samples=0)
    assert len(run.truncated) > 3
    assert run.folder is not None
    kept = json.loads((run.folder / "data.json").read_text())
    assert kept["truncated"] == [row._asdict() | {"completions": [*row.completions]}
                                 for row in run.truncated[:3]]  # fmt: skip
    assert kept["truncated_rows"] == len(run.truncated)
    listed = (run.folder / "skipped.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in listed] == [row.row for row in run.skipped]
    assert 21 in [row.row for row in run.skipped]
    list(run)
    assert run.summary("finished")["truncated_rows"] == len(run.truncated)
    opened = load_run(run.folder)
    assert opened.data.hash == run.data.hash
    train_command._tell_layout(run)
    train_command._tell_truncated(run)
    said = capsys.readouterr().out
    assert "tokenised once, into " in said
    assert "the reference is asked at every step" in said
    assert f"more, all in {run.data.truncated.path}" in said  # type: ignore[attr-defined]


def test_the_preflight_looks_at_the_first_rows(
    make_run: MakeRun, large: Callable[[bool], None], rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.runs.large_data.SHOWN", 9)
    line = make_run(data=rows, max_steps=1).preflight_line
    assert line.startswith("preflight of the first 9 rows: ")

    def unreachable(*_: Any) -> None:
        raise WorkbenchError("there is no network")

    monkeypatch.setattr("workbench.runs.large_data.first_of", unreachable)
    assert make_run(data=rows, max_steps=1).preflight_line == ""


@pytest.mark.parametrize(
    ("first", "columns", "told"),
    [
        ({"id": 5}, None, "no known layout"),
        ({"prompt": "the plot", "chosen": "", "rejected": "bad"}, None, "none of 9 rows"),
        (
            {"prompt": "the plot", "chosen": "good", "rejected": "bad"},
            "system=of",
            "no column 'of'",
        ),
    ],
)
def test_first_rows_that_cannot_be_looked_at_do_not_end_a_run(
    make_run: MakeRun, large: Callable[[bool], None], rows: str, monkeypatch: pytest.MonkeyPatch,
    first: dict[str, Any], columns: str | None, told: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("workbench.runs.large_data.SHOWN", 9)
    path = Path(rows)
    late = json.dumps({"prompt": "the film", "chosen": "good", "rejected": "bad", "of": "the plot"})
    path.write_text((json.dumps(first) + "\n") * 16 + path.read_text() + late)
    run = make_run(data=rows, columns=columns, max_steps=1)
    assert run.preflight_line.startswith(f"preflight: the first 9 rows of {rows}: {told}")
    assert "\n" not in run.preflight_line


def test_a_wrong_row_of_a_large_source_fails_the_self_test(
    make_run: MakeRun, large: Callable[[bool], None], rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = LazyItems.__getitem__

    def spoilt(self: LazyItems, index: Any) -> Any:
        found = get(self, index)
        if not isinstance(index, slice):
            return found
        return [replace(item, chosen=item.chosen + item.chosen[-1:]) for item in found]

    monkeypatch.setattr(LazyItems, "__getitem__", spoilt)
    run = make_run(data=rows, max_steps=1)
    assert run.self_test is not None
    assert any("no end of sequence, or two" in check.text for check in run.self_test.failed)
