"""Token strips: text, role and score of each token in words, and nothing gets out of its box."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
import tokenizers
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from workbench.compare.mistakes import ROLES
from workbench.compare.pair_scoring import text_rows
from workbench.data.tokenizer import Tokenizer
from workbench.view.html.tokens import Strip, draw_strip, pair_strips, shift_table, strips, visible

NASTY = (
    "<script>", "</script>", "<img onerror=alert(1)>", "&amp;", "<|endoftext|>", "\u202e", "\u200b",
    "\u2066", "\ufeff", "\x00", "\ud800", "'\"><b>", "a\nb", "</bdi></span>",
)  # fmt: skip
OURS = {"div", "span", "b", "small", "i", "bdi", "br", "table", "thead", "tbody", "tr", "th", "td"}
WORDS = Tokenizer.from_words(["how", "film", "good", "the", "bad"])
STRIP = Strip(
    ["how", "film", "good", "<eos>", "<pad>"],
    ["prompt", "prompt", "completion", "end", "padding"],
    [False, False, True, True, False],
)


class Page(HTMLParser):
    """What a browser would make of the HTML: tags, attributes, and the text that is shown."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.titles: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.titles += [value or "" for name, value in attrs if name == "title"]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    """Every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: place for place, letter in enumerate(["<end>", *alphabet])}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return Tokenizer(backend, 0)


@pytest.mark.parametrize("text", NASTY)
def test_whatever_comes_in_is_shown_as_text(text: str) -> None:
    strip = Strip([text, text], ["prompt", "completion"], [False, True])
    for html in (draw_strip(strip, title=text), shift_table(strip, {text: [None, 1.0]})):
        page = Page(html)
        assert page.tags <= OURS
        assert page.attributes <= {"class", "style", "title"}
        html.encode("utf-8")
        shown = "".join(Page(visible(text)).text)
        assert page.text.count(shown) >= 2


@given(text=st.text(max_size=12))
def test_any_token_stays_between_its_tags(text: str) -> None:
    page = Page(draw_strip(Strip([text], ["completion"], [True])))
    assert page.tags <= OURS
    # Nothing that a reader can't see, or that turns the order of what follows, is left.
    assert page.text.isprintable()


def test_of_general_punctuation_only_what_has_a_shape_stands_as_it_is() -> None:
    """Dashes and quotes do; blanks, joiners and writing directions are told by their numbers."""
    kept = [*range(0x2010, 0x2028), *range(0x2030, 0x205F)]
    for code in range(0x2000, 0x2070):
        page = Page(draw_strip(Strip([chr(code)], ["completion"], [True])))
        assert (chr(code) in page.text) == (code in kept), hex(code)
        assert (f"U+{code:04X}" in page.text) == (code not in kept), hex(code)


@pytest.mark.parametrize("text", [text for text in NASTY if text != "\ud800"])
def test_typed_texts_are_safe_through_a_real_tokenizer(
    byte_tokenizer: Tokenizer, text: str
) -> None:
    rows = text_rows(byte_tokenizer, text, text, text + "x")
    page = Page(pair_strips(rows, byte_tokenizer))
    assert page.tags <= OURS
    assert page.attributes <= {"class", "style", "title"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" good", "␣good"),
        ("\n\n", "↵↵"),
        ("\t", "⇥"),
        ("\u200b", "U+200B"),
        ("\u202eabc", "U+202Eabc"),
        ("\u00a0", "U+00A0"),
        ("\u0301", "◌\u0301"),
        ("", "(empty)"),
        ("<|endoftext|>", "<|endoftext|>"),
        ("&amp;", "&amp;"),
        ("日本", "日本"),
    ],
)
def test_what_has_no_shape_is_made_visible(text: str, shown: str) -> None:
    assert Page(visible(text)).text == shown


def test_each_role_and_score_is_told_in_words() -> None:
    page = Page(draw_strip(STRIP, "chosen"))
    assert page.titles == [
        "prompt, not scored", "prompt, not scored", "completion, scored", "end, scored",
        "padding, not scored",
    ]  # fmt: skip
    for words in (
        "chosen", "prompt, 0 of 2 scored:", "completion, 1 of 1 scored:", "end, 1 of 1 scored:",
        "padding, 0 of 1 scored:",
    ):  # fmt: skip
        assert words in page.text
    assert "✗" not in page.text


def test_roles_differ_by_line_and_scores_by_weight() -> None:
    html = draw_strip(STRIP)
    for line in ("dotted", "solid #0072B2", "solid #009E73", "dashed"):
        assert f"1px {line}" in html
    assert html.count("<b><bdi>") == 2  # good and <eos>
    assert "color:" not in html.replace("background-color", "")  # text keeps the theme's colour


@pytest.mark.parametrize(
    ("role", "scored"),
    [("prompt", True), ("padding", True), ("completion", False), ("end", False)],
)
def test_a_wrong_score_carries_a_cross(role: str, scored: bool) -> None:
    strip = Strip(["good"], [role], [scored])
    page = Page(draw_strip(strip))
    assert "good ✗" in page.text
    assert page.titles == [f"{role}, {'scored' if scored else 'not scored'}, which is wrong"]
    assert "✗" not in draw_strip(Strip(["good"], [role], [not scored]))


def test_values_stand_under_their_tokens_with_a_sign() -> None:
    page = Page(draw_strip(STRIP, values=[None, -1.0, 0.5, 0.004, -0.26]))
    assert page.text.index("film") < page.text.index("−1.00") < page.text.index("good")
    assert page.text.index("good") < page.text.index("+0.50") < page.text.index("<eos>")
    assert "0.00" in page.text
    html = draw_strip(STRIP, values=[None, -1.0, 0.5, 0.004, -0.26])
    assert "rgba(213, 94, 0, 0.45)" in html  # the largest
    assert "rgba(0, 114, 178, 0.23)" in html  # half of it, to the other side


def test_a_pair_is_two_strips_with_values_in_line() -> None:
    rows = text_rows(WORDS, "how film", "good", "the bad")
    chosen, rejected = strips(rows, WORDS)
    assert chosen == STRIP
    assert rejected.tokens == ["how", "film", "the", "bad", "<eos>"]
    values = torch.tensor([[0.1, 0.2, 0.3, 0.4], [-0.1, -0.2, -0.3, -0.4]])
    text = Page(pair_strips(rows, WORDS, values, "log-ratio")).text
    assert text.startswith("chosen · under each token: log-ratio")
    # Value t belongs to token t + 1: 0.1 to film, 0.2 to good.
    assert text.index("film") < text.index("+0.10") < text.index("good") < text.index("+0.20")


def test_the_shift_is_by_one() -> None:
    page = shift_table(STRIP, {"log-probability": [None, -0.1, -0.2, -0.3, -0.4]})
    lines = [Page(line).text for line in page.split("<tr")[2:]]
    cells = [
        '0howfilmpromptno−0.10', '1filmgoodcompletionyes−0.20', '2good<eos>endyes−0.30',
        '3<eos><pad>paddingno−0.40',
    ]  # fmt: skip
    assert [line.split(">", 1)[-1] for line in lines] == cells


def test_the_table_marks_what_is_wrong() -> None:
    strip = Strip(STRIP.tokens, STRIP.roles, [False, True, False, True, False])
    text = Page(shift_table(strip)).text
    assert text.count("✗") == 2


def test_every_role_has_a_look() -> None:
    for role in ROLES:
        assert role in draw_strip(Strip(["x"], [role], [False]))
