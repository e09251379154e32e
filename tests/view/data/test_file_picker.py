"""What a page says of a file: its parts, its way into the list, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.data.pairs import SHIPPED
from workbench.view.data.file_picker import FilePicker
from workbench.view.data.kept_files import LARGEST


class Page:
    """A page with a picker: what it sends, and what it hears."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chosen: list[tuple[str, bool]] = []
        self.refused: list[str] = []
        self.heard: list[dict[str, Any]] = []
        self.picker = FilePicker(
            lambda source, new: self.chosen.append((source, new)),
            lambda error: self.refused.append(str(error)),
        )
        monkeypatch.setattr(self.picker, "send", self.heard.append)

    def say(self, part: bytes = b"", **words: Any) -> None:
        self.picker._handle_custom_msg(words, [memoryview(part)])

    def send(self, number: int, size: int, start: int, part: bytes) -> None:
        self.say(part, file=number, name="pairs.jsonl", size=size, start=start)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(monkeypatch)


def test_a_file_comes_in_parts(page: Page) -> None:
    page.send(1, 5, 0, b"abc")
    assert page.heard == [{"file": 1, "next": 3}]
    assert page.chosen == []
    page.send(1, 5, 3, b"de")
    assert page.heard[1:] == [{"file": 1, "ended": True}]
    assert page.chosen == [(str(Path("data/pairs.jsonl")), True)]
    assert Path("data/pairs.jsonl").read_bytes() == b"abcde"


def test_a_new_file_takes_the_place_of_one_that_was_being_sent(page: Page) -> None:
    page.send(1, 5, 0, b"abc")
    page.send(2, 2, 0, b"xy")
    assert Path("data/pairs.jsonl").read_bytes() == b"xy"


def test_a_file_too_large_is_refused_at_its_first_part(page: Page) -> None:
    page.send(1, LARGEST + 1, 0, b"abc")
    assert page.heard == [{"file": 1, "ended": True}]
    (told,) = page.refused
    assert "put it beside the notebook" in told
    assert not Path("data").exists()


def test_the_list_is_made_anew_when_the_page_asks(page: Page) -> None:
    assert page.picker.files == list(SHIPPED)
    Path("pairs.csv").write_text("x")
    page.say(list=True)
    assert page.picker.files == [*SHIPPED, "pairs.csv"]
    page.say(choose="pairs.csv")
    page.say(path="pairs.csv")
    assert page.chosen == [("pairs.csv", False)] * 2
    page.say(path="gone.csv")
    assert "no file gone.csv" in page.refused[0]


def test_a_chosen_file_from_elsewhere_is_listed_until_it_is_gone(page: Page) -> None:
    other = Path("folder/pairs.txt")
    other.parent.mkdir()
    other.write_text("x")
    page.picker.show(str(other))
    assert page.picker.chosen == page.picker.files[-1] == str(other)
    other.unlink()
    page.picker.refresh()
    assert (page.picker.chosen, page.picker.files) == ("", list(SHIPPED))
