"""From a file to a run without a browser: what is shown, what is asked, what is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.file_checks.check_file import check_file
from workbench.view.data.data_chooser import DataChooser, choose_data
from workbench.view.data.opened_file import OpenedFile, open_file
from workbench.view.live.dashboard import Dashboard, dashboard

PATIENCE = 20
Write = Callable[..., Path]


class Person:
    """Chooses files and reads what is shown."""

    def __init__(self, config: TrainConfig) -> None:
        self.chooser = choose_data(config)
        self.view = self.chooser.view

    def choose(self, source: Path | str) -> None:
        self.chooser.choose(str(source))
        self.wait()

    def wait(self) -> None:
        assert self.chooser._over.wait(PATIENCE)

    def reads(self, part: str) -> str:
        return str(self.view._html[part].value)

    def sees(self, widget: Any) -> bool:
        return bool(widget.layout.display != "none")

    @property
    def may_train(self) -> bool:
        return self.sees(self.view._training)


@pytest.fixture
def person(model_folder: Path, small: dict[str, Any]) -> Person:
    return Person(TrainConfig(**{**small, "model": str(model_folder), "held_out": None}))


def test_a_known_file_is_shown_and_asks_nothing(person: Person, write: Write) -> None:
    assert not person.may_train
    path = write("<b>.jsonl", {"prompt": "the plot"}, {"prompt": "the cast"}, {"chosen": 3})
    person.choose(path)
    assert "(prompt, chosen, rejected) · 2 pairs can be used" in person.reads("found")
    assert "<li>row 3: <bdi>field" in person.reads("found")
    assert "<b>row 1</b>" in person.reads("pairs")
    assert "rows that cannot be used" in person.reads("checked")
    assert "<b>.jsonl" not in person.view.html
    assert person.reads("problem") == person.reads("told") == ""
    assert person.may_train
    assert person.view.columns.box.selected_index is None


def test_pairs_are_stepped_through(person: Person, write: Write) -> None:
    person.choose(write("pairs.jsonl", *({"prompt": f"film {n}"} for n in range(5))))
    assert person.view.at.max == 5
    person.view.at.value = 4
    assert "<b>row 3</b>" not in person.reads("pairs")
    assert "<b>row 5</b>" in person.reads("pairs")
    person.choose(write("other.jsonl", {}))
    assert (person.view.at.value, person.view.at.max) == (1, 1)


def test_a_file_is_not_shown_once_another_one_is_chosen(
    person: Person, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = write("first.jsonl", {}), write("second.jsonl", {})

    def reading(source: str, *arguments: Any) -> OpenedFile:
        if source == str(first):
            person.chooser.choose(str(second))  # while the first is still being read
        return open_file(source, *arguments)

    shown: list[str] = []
    monkeypatch.setattr("workbench.view.data.data_chooser.open_file", reading)
    monkeypatch.setattr(person.view, "show", lambda opened: shown.append(opened.source))
    person.choose(first)
    person.choose(second)  # which waits for all before it
    assert set(shown) == {str(second)}


def test_columns_of_other_names_are_chosen_beside_the_first_rows(person: Person) -> None:
    row = {"question": "the film", "best": "it was superb .", "worst": "it was awful ."}
    Path("asked.json").write_text(json.dumps([row] * 4))
    person.choose("asked.json")
    columns = person.view.columns
    assert "not those of pairs" in person.reads("found")
    assert columns.box.selected_index == 0
    assert "it was superb ." in columns._table.value
    assert not person.may_train
    with pytest.raises(WorkbenchError, match="no file is chosen yet"):
        assert person.chooser.config
    assert columns.button.disabled
    columns.menus["prompt"].value, columns.menus["chosen"].value = "question", "best"
    columns.menus["rejected"].value = "best"
    assert columns.button.disabled  # one column cannot be two
    columns.menus["rejected"].value = "worst"
    columns.button.click()
    person.wait()
    assert person.may_train
    assert person.chooser.config.columns == "prompt=question,chosen=best,rejected=worst"
    told = "prompt=question, chosen=best, rejected=worst · 4 pairs can be used"
    assert told in person.reads("found")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "film", "completion": "superb", "label": True}, "train with loss kto"),
        ({"messages": [{"role": "user", "content": "film"}]}, "train with loss sft"),
        ({"prompt": "film"}, "prompts only: needs ppo or grpo"),
    ],
)
def test_a_file_of_another_kind_asks_for_no_columns(
    person: Person, row: dict[str, Any], told: str
) -> None:
    Path("other.json").write_text(json.dumps([row]))
    person.choose("other.json")
    assert told in person.reads("found")
    assert not person.sees(person.view.columns.box)
    assert not person.may_train
    with pytest.raises(
        WorkbenchError, match=f"^other.json: .*{told}; only pairs are looked through$"
    ):
        check_file("other.json", "tiny")


def test_pairs_that_do_not_fit_the_model_are_not_trained_on(person: Person, write: Write) -> None:
    person.choose(write("long.jsonl", {"prompt": "film " * 2000}))
    assert "0 pairs: 1 wrong" in person.reads("checked")
    assert not person.may_train


def test_a_wrong_choice_of_columns_can_be_mended(person: Person) -> None:
    row = {"question": "film", "best": "superb", "worst": "awful", "n": 1}
    Path("asked.json").write_text(json.dumps([row]))
    person.choose("asked.json")
    menus = person.view.columns.menus
    for name, column in zip(menus, ("n", "best", "worst"), strict=True):
        menus[name].value = column
    person.view.columns.button.click()
    person.wait()
    assert "none of 1 rows can be used" in person.reads("problem")
    assert person.sees(person.view.columns.box)
    menus["prompt"].value = "question"
    person.view.columns.button.click()
    person.wait()
    assert person.may_train


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("broken.json", b'[{"prompt": ]', "is not JSON: line 1"),
        ("binary.json", b"\xff\xfe\x00\x01", "is not UTF-8 text: byte 0 is wrong"),
        ("blank.jsonl", b"\n\n", "is empty"),
        ("list.json", b"[1, 2]", "2 rows that are not objects"),
        ("same.csv", b"prompt,chosen,rejected\na,b,b\n", "none of 1 rows can be used"),
        ("pairs.parquet", b"PAR1 not really", "arquet"),
    ],
)
def test_what_cannot_be_read_is_one_card_and_is_not_kept(
    person: Person, name: str, content: bytes, told: str
) -> None:
    path = Path("data") / name
    path.parent.mkdir()
    path.write_bytes(content)
    person.chooser.choose(str(path), new=True)
    person.wait()
    assert told in person.reads("problem")
    assert "Traceback" not in person.reads("problem")
    assert not person.may_train
    assert not path.exists()
    assert person.chooser.picker.chosen == ""
    with pytest.raises(WorkbenchError, match="arquet" if name == "pairs.parquet" else told):
        person.chooser.join()


def test_a_model_that_is_not_there_is_a_card_and_the_file_stays(write: Write) -> None:
    person = Person(TrainConfig(model="no model of that name"))
    path = write("pairs.jsonl", {})
    person.chooser.choose(str(path), new=True)
    person.wait()
    assert "no model of that name" in person.reads("problem")
    assert path.exists()


def test_few_pairs_are_not_all_held_out(person: Person, write: Write) -> None:
    person.choose(write("pairs.jsonl", *({"prompt": f"film {n}"} for n in range(8))))
    assert person.chooser.config.held_out == 2
    person.choose(write("one_prompt.jsonl", *({"chosen": f"film {n}"} for n in range(8))))
    assert person.chooser.config.held_out == 0
    person.choose("brief")
    assert person.chooser.config.held_out == 31  # of 124
    many = Person(TrainConfig(model="tiny", held_out=3))
    many.choose("brief")
    assert many.chooser.config.held_out == 3


def test_one_press_trains_and_the_run_can_be_opened_from_elsewhere(
    person: Person, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.choose(write("pairs.jsonl", *({"prompt": f"film {n}"} for n in range(8))))
    person.view.train.click()
    board = person.chooser.board
    assert board is not None
    assert board.join(PATIENCE)
    assert person.view.below.children == (board.box,)
    assert board.run is not None
    assert board.run.config.data == str(tmp_path / "pairs.jsonl")
    folder = board.run.folder
    assert folder is not None
    board.run.control.stop()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert isinstance(load_run(tmp_path / folder), Run)


def test_a_run_that_goes_on_is_not_thrown_away(
    person: Person, write: Write, monkeypatch: pytest.MonkeyPatch, fake_run: Any
) -> None:
    person.choose(write("pairs.jsonl", {}))

    begun, made = threading.Event(), threading.Event()

    def make(config: TrainConfig, progress: Any) -> Any:
        begun.set()
        made.wait(PATIENCE)
        return fake_run(config, total=10**6)

    def slow(config: TrainConfig) -> Dashboard:
        board = dashboard(config, make_run=make)
        assert isinstance(board, Dashboard)
        return board

    monkeypatch.setattr("workbench.view.data.data_chooser.dashboard", slow)
    person.view.train.click()
    first = person.chooser.board
    assert first is not None
    begun.wait(PATIENCE)
    person.view.train.click()  # while it is being made: a double press
    assert person.reads("problem") == ""
    made.set()
    while first.run is None:
        time.sleep(0.01)
    person.view.train.click()
    assert "stop it first" in person.reads("problem")
    assert person.chooser.board is first
    first.run.control.stop()
    assert first.join(PATIENCE)
    person.view.train.click()
    assert person.reads("problem") == ""
    assert person.chooser.board is not first


def test_a_saved_notebook_keeps_what_was_chosen_until_there_is_a_run(
    person: Person, write: Write
) -> None:
    shown: list[str] = []
    person.chooser._saved = SimpleNamespace(show=shown.append)  # type: ignore[assignment]
    person.choose(write("pairs.jsonl", {}, {}))
    assert "2 pairs can be used" in shown[-1]
    person.chooser.train()
    board = person.chooser.board
    assert board is not None
    assert "2 pairs can be used" in board._saved._before
    assert board.join(PATIENCE)
    person.choose("brief")
    assert not any("brief" in one for one in shown)


def test_without_widgets_the_file_of_the_settings_is_shown(write: Write) -> None:
    config = TrainConfig(model="tiny", data=str(write("pairs.jsonl", {}, {})))
    chooser = choose_data(config, live=False)
    assert isinstance(chooser, DataChooser)
    assert "2 pairs can be used" in chooser.view.html
    assert "repeated" in chooser.view.html
    with pytest.raises(WorkbenchError, match="data is missing"):
        choose_data(live=False)
    with pytest.raises(WorkbenchError, match="no file gone"):
        choose_data(TrainConfig(model="tiny", data="gone.jsonl"), live=False)
