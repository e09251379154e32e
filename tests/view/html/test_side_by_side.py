"""What is marked as different, and that every text shows as the text it is."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.train.events import Sample
from workbench.view.html.differences import marked_differences
from workbench.view.html.side_by_side import LOOKS, PromptAnswers, side_by_side
from workbench.view.live.run_answers import NO_ANSWERS, policy_and_reference

HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "</script>",
    "&amp; &lt;b&gt;",
    "<|endoftext|>",
    "\u202eright to left\u202c \u200bzero\u200dwidth",
    "line\nbreak",
    "'quotes\" and `ticks`",
)
OURS = {"bdi", "br", "small", "del", "h4", "i", "ins", "p", "section", "div"}
OURS |= {"table", "tbody", "td", "th", "thead", "tr"}


class Reader(HTMLParser):
    """What a browser makes of HTML: the text and the tags."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.marked = "", [], {"del": "", "ins": ""}
        self._open: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = {name for name, _ in attributes if not name.startswith("data-")}
        assert names <= {"class", "style", "rowspan"}
        if tag == "br":
            self.text += "\n"
        else:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] in self.marked:
            self.marked[self._open[-1]] += data


def test_differences_are_whole_words() -> None:
    left, right = marked_differences("The room was small, and loud.", "The room was lovely.")
    plain = [re.sub(r' style="[^"]*"', "", side) for side in (left, right)]
    assert plain == [
        "The room was <del>small, and loud</del>.",
        "The room was <ins>lovely</ins>.",
    ]


def test_equal_texts_have_no_marks() -> None:
    assert marked_differences("just so", "just so") == ("just so", "just so")


def test_spaces_alone_are_no_difference() -> None:
    left, right = marked_differences("one  two\nthree", "one two three")
    assert (left, right) == ("one  two<br>three", "one two three")


def test_all_different_and_empty() -> None:
    left, right = marked_differences("", "new words")
    assert left == ""
    assert Reader(right).marked["ins"] == "new words"


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("state", ["writing", "finished"])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(text: str, state: str, look: str) -> None:
    row = PromptAnswers(text, (f"{text} old", f"{text} new", text))
    reader = Reader(side_by_side((text, f"{text} 2", f"{text} 3"), [row], look, state))
    assert set(reader.tags) <= OURS
    assert reader.text.count(text) >= 6


@given(st.text(), st.text())
def test_any_text_reads_as_itself(reference: str, policy: str) -> None:
    for markup, text in zip(
        marked_differences(reference, policy), (reference, policy), strict=True
    ):
        sendable = text.encode("utf-8", "replace").decode()
        # A parser of HTML replaces NUL and reads a carriage return as a line break.
        assert html.unescape(re.sub("<[^>]*>", "", markup.replace("<br>", "\n"))) == html.unescape(
            html.escape(sendable)
        )


@given(st.text(alphabet="ab .\n", max_size=30), st.text(alphabet="ab .\n", max_size=30))
def test_unmarked_words_are_the_same_on_both_sides(reference: str, policy: str) -> None:
    left, right = marked_differences(reference, policy)
    rest = [re.sub(r"<(del|ins)[^>]*>.*?</\1>", " ", side) for side in (left, right)]
    words = [re.findall(r"\w+|\.", side.replace("<br>", " ")) for side in rest]
    assert words[0] == words[1]


def test_table_has_a_row_per_prompt_with_its_notes() -> None:
    rows = [PromptAnswers(f"prompt {n}", ("bad", "good"), ("one", "two")) for n in range(3)]
    reader = Reader(side_by_side(("a", "b"), rows))
    assert reader.tags.count("tr") == 4
    assert "prompt 0bad\nonegood\ntwo" in reader.text
    assert reader.marked == {"del": "badbadbad", "ins": "goodgoodgood"}


def test_several_policies_stand_beside_one_reference() -> None:
    policies = {"run": [Sample("p", "a b", "a c", 0)], "branch 1": [Sample("p", "a b", "d b", 0)]}
    reader = Reader(policy_and_reference(policies))
    assert reader.tags.count("th") == 4
    assert reader.marked == {"del": "", "ins": "cd"}  # against which policy would <del> be?


def test_an_answer_that_is_still_empty_keeps_its_pane() -> None:
    reader = Reader(policy_and_reference({"policy": [Sample("p", "", "a", 0)]}, "panes", "writing"))
    assert "reference" in reader.text


def test_no_pane_stands_for_a_reference_that_was_not_asked() -> None:
    reader = Reader(policy_and_reference({"policy": [Sample("p", None, "a", 0)]}, "panes"))
    assert "reference" not in reader.text


def test_lines_are_marked_against_the_line_before() -> None:
    row = PromptAnswers("p", ("one two", "one three", "one three"))
    reader = Reader(side_by_side(("step 0", "step 1", "step 2"), [row], look="lines"))
    assert reader.marked == {"del": "", "ins": "three"}
    assert reader.tags.count("tr") == 4


def test_a_page_with_its_own_style_sheet_gets_tags_alone() -> None:
    row = PromptAnswers("p", ("one two", "one three"), cuts=(0, 7))
    html = side_by_side(("a", "b"), [row], look="page")
    assert "style" not in html
    assert html.count("<tr>") == 2
    assert html.count("cut at 7 tokens") == 1


@pytest.mark.parametrize("look", LOOKS)
def test_empty_answer_is_said_to_be_empty(look: str) -> None:
    assert "(empty)" in side_by_side(("a", "b"), [PromptAnswers("p", ("words", ""))], look)


# -- panes -------------------------------------------------------------------------------------


def panes(state: str) -> str:
    row = PromptAnswers("p", ("old words", "new words"))
    return side_by_side(("reference", "policy"), [row], look="panes", state=state)


def test_differences_are_marked_at_the_end_only() -> None:
    for state in ("waiting", "writing", "stopped", "failed"):
        assert f'data-state="{state}"' in panes(state)
        assert "<del" not in panes(state)
        assert "<bdi>old words</bdi>" in panes(state)
    assert ">old</del> words" in panes("finished")
    assert ">new</ins> words" in panes("finished")


def test_state_is_said_in_words() -> None:
    assert panes("writing").count("· writing") == 2
    assert panes("stopped").count("· stopped here") == 2
    assert "·" not in panes("finished")


def test_without_texts_there_are_two_empty_panes() -> None:
    assert NO_ANSWERS.count("<section") == 2
    assert NO_ANSWERS.count("<bdi></bdi>") == 2
