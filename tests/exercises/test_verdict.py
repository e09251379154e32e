"""Hints, and how a verdict shows itself."""

import re
from html.parser import HTMLParser

import pytest
import torch

from workbench.exercises import EXERCISES, Verdict, check, checking
from workbench.exercises.verdict import brief

HOSTILE = "<script>alert(1)</script> & \"'\x1b[31m\u202e<|endoftext|>\ud800"


@pytest.fixture(autouse=True)
def new_session(monkeypatch):
    """Nothing has failed yet."""
    monkeypatch.setattr(checking, "_failures", checking.Counter())


def dpo_loss(pc, pr, rc, rr, beta):
    return torch.nn.functional.softplus(-beta * (pc - pr - rc + rr)).mean()


def wrong(name):
    def function(*inputs):
        return 1e9

    function.__name__ = name
    return function


def unwritten(*inputs):
    raise NotImplementedError


unwritten.__name__ = "dpo_loss"


def hostile(*inputs):
    raise ValueError(HOSTILE)


hostile.__name__ = "dpo_loss"


@pytest.mark.parametrize("name", EXERCISES)
def test_hint_comes_with_the_second_failure(name):
    first, second, third = (check(wrong(name)) for _ in range(3))
    assert not first.hint
    assert "Hint" not in str(first)
    assert "Hint" not in first._repr_html_()
    assert second.hint == third.hint == EXERCISES[name].hint
    assert str(second).endswith(f"Hint: {EXERCISES[name].hint}")
    assert "Hint:</strong>" in second._repr_html_()


def test_success_sets_the_failures_back():
    check(wrong("dpo_loss"))
    check(dpo_loss)
    assert not check(wrong("dpo_loss")).hint
    assert check(wrong("dpo_loss")).hint


def test_failures_are_counted_for_each_exercise_apart():
    check(wrong("dpo_loss"))
    assert not check(wrong("objective")).hint
    assert check(wrong("dpo_loss")).hint


def test_not_yet_is_no_failure_and_no_success():
    check(wrong("dpo_loss"))
    assert not check(unwritten).hint
    assert check(wrong("dpo_loss")).hint


@pytest.mark.parametrize("function", [dpo_loss, unwritten, wrong("dpo_loss"), hostile])
def test_html_says_all_that_the_text_says(function):
    check(wrong("dpo_loss"))
    verdict = check(function)
    pieces = Page(verdict._repr_html_()).text
    for part in (verdict.reason, verdict.hint, *(part for row in verdict.rows for part in row)):
        assert part in pieces
        assert part in str(verdict)
    assert repr(verdict) == str(verdict)


@pytest.mark.parametrize("function", [dpo_loss, unwritten, wrong("dpo_loss"), hostile])
def test_html_reads_on_light_and_on_dark_ground(function):
    """Text keeps the page's colour, backgrounds are transparent, and a sign repeats the colour."""
    page = check(function)._repr_html_()
    assert re.search(r'data-state="(right|not-yet|not-right)"', page)
    assert re.search(r"[✓…✗] dpo_loss: ", page)
    assert set(re.findall(r"(?<![-\w])color: ([^;\"]+)", page)) <= {"inherit"}
    assert all("color: inherit" in look for look in re.findall(r'<table style="([^"]+)"', page))
    assert all(
        ground == "none" or re.fullmatch(r"rgba\(\d+, \d+, \d+, 0\.10\)", ground)
        for ground in re.findall(r"background: ([^;\"]+)", page)
    )


def test_hostile_text_is_escaped_and_has_no_power_over_a_terminal():
    verdict = check(hostile)
    page = verdict._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;" in page
    assert Page(page).tags <= {"div", "strong", "bdi", "table", "tr", "th", "td", "code"}
    for written in (page, str(verdict)):
        written.encode("utf-8")
        assert not re.search("[\x1b\u202e\ud800]", written)


def test_hostile_verdict_of_any_origin_is_escaped():
    page = Verdict("<b>", "not right", "<i>", (("<u>", "<s>"),), "<em>")._repr_html_()
    assert Page(page).tags <= {"div", "strong", "bdi", "table", "tr", "th", "td", "code"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (3, "3"),
        (torch.tensor([[1.0, -0.00001], [2e9, 0.5]]), "[[1, -1e-05], [2e+09, 0.5]]"),
        (torch.tensor([True, False]), "[True, False]"),
        (torch.tensor(2.5), "2.5"),
        (torch.arange(40.0).reshape(2, 20), "0, 1, 2, 3, ... of shape (2, 20)"),
    ],
)
def test_values_are_written_briefly(value, text):
    assert brief(value) == text


def test_nothing_is_long():
    for name in EXERCISES:
        check(wrong(name))
        verdict = check(wrong(name))
        assert max(len(text) for _, text in verdict.rows) < 300
        assert len(verdict.hint) < 250


class Page(HTMLParser):
    """Text and tags of a piece of HTML, whose tags are all closed in order."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags, self.open = "", set(), []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
