"""Strips, line and alternatives of answers and pairs: what a person does, and what is then read."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser

import pytest
import torch

from workbench.compare.model_handles import ModelHandle
from workbench.compare.tokens import compare_pair
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.train.base_model import BaseConfig, new_model
from workbench.view.compare.probability_mass import explore_probability_mass
from workbench.view.compare.token_parts import SHARE, UNDER
from workbench.view.compare.token_view import explore_answer, explore_pair
from workbench.view.controls.explorer import Explorer

PAIR = ("how was the film?", "the plot was good.", "overall, i hated the music.")
NASTY = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&amp;", "<|endoftext|>",
    "</script>", "\u202e", "\u200b", "</bdi></td>", "$\\frac{1}{2}$",
)  # fmt: skip
OURS = {
    "div", "span", "b", "small", "i", "bdi", "br", "table", "thead", "tbody", "tr", "th", "td", "p",
    "img", "h4",
}  # fmt: skip
Two = tuple[ModelHandle, ModelHandle]


@pytest.fixture(scope="module")
def two() -> Two:
    world, config = Reviews(ReviewsConfig(topics=4)), BaseConfig()
    reference, policy = new_model(world, config), new_model(world, config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in policy.policy.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return (
        ModelHandle("reference", reference.policy, reference.tokenizer),
        ModelHandle("policy", policy.policy, policy.tokenizer),
    )


def plain(html: object) -> str:
    return unescape(" ".join(re.sub("<[^>]*>", " ", str(html)).split()))


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_an_answer_shows_its_log_ratio_and_the_alternatives(two: Two) -> None:
    explorer = explore_answer(two, PAIR[0], PAIR[1], token=4)
    text = plain(explorer.shown)
    total = re.search(r"^log-ratio (\S+) · under each token: log-ratio", text)
    assert total is not None
    under = re.findall(r"<br><small[^>]*>(\S+?)</small>", str(explorer.shown))
    assert sum(map(number, under)) == pytest.approx(number(total[1]), abs=0.03)
    assert "Token 4 of 6, good : log-probability −" in text
    assert "▶ good" in text
    assert "other tokens" in text
    assert 'src="data:image/png;base64,' in str(explorer.shown)
    assert f"answer {total[1]}" in str(explorer.shown)  # the picture's text says its numbers


def test_it_begins_where_most_has_changed(two: Two) -> None:
    tokenizer = two[0].tokenizer
    ids = tokenizer.render_prompt(PAIR[0]), *map(tokenizer.completion, PAIR[1:])
    pair = compare_pair(*two, *ids)
    largest = [share.abs().max().item() for share in pair.shares]
    side = largest.index(max(largest))
    explorer = explore_pair(two, *PAIR)
    assert explorer.values["side"] == ("chosen", "rejected")[side]
    assert explorer.values["token"] == pair.shares[side].abs().argmax() + 1
    assert explore_pair(two, *PAIR, side="chosen").values["side"] == "chosen"
    with pytest.raises(WorkbenchError, match="side='both' is unknown; accepted: chosen, rejected"):
        explore_pair(two, *PAIR, side="both")


def test_shares_of_both_sides_are_the_margin(two: Two) -> None:
    explorer = explore_pair(two, *PAIR)
    explorer.set(below=SHARE)
    margin = re.search(
        r"margin (\S+) nats = chosen (\S+) minus rejected (\S+)", plain(explorer.shown)
    )
    assert margin is not None
    under = re.findall(r"<br><small[^>]*>(\S+?)</small>", str(explorer.shown))
    assert sum(map(number, under)) == pytest.approx(number(margin[1]), abs=0.08)
    chosen, rejected = map(number, margin.groups()[1:])
    assert chosen - rejected == pytest.approx(number(margin[1]), abs=0.011)


@pytest.mark.parametrize("below", [*UNDER, SHARE])
def test_numbers_under_the_tokens_can_be_chosen(two: Two, below: str) -> None:
    explorer = explore_pair(two, *PAIR)
    explorer.set(below=below)
    assert plain(explorer.shown).count(f"under each token: {below}") == 2


def test_typed_text_is_scored_and_the_slider_follows(two: Two) -> None:
    explorer = explore_pair(two, *PAIR, side="rejected", token=8)
    assert explorer.controls["token"].max == 8
    explorer.set(rejected="the film was bad.")
    assert explorer.values["token"] == explorer.controls["token"].max == 6
    assert "Token 6 of 6 of the rejected, <eos>" in plain(explorer.shown)
    before = plain(explorer.shown)
    explorer.set(chosen="")
    assert plain(explorer.shown) != before
    explorer.set(side="chosen")
    assert "Token 1 of 1 of the chosen" in plain(explorer.shown)


def test_what_can_not_be_scored_is_told_in_a_card(two: Two) -> None:
    for explorer in (explore_answer(two, "", "good"), explore_pair(two, "", "good", "bad")):
        assert "the prompt has no tokens" in plain(explorer.shown)
        explorer.set(prompt="how was the film?")
        assert "Token 1 of" in plain(explorer.shown)
    with pytest.raises(WorkbenchError, match="two are compared here"):
        explore_answer(two[:1], *PAIR[:2])


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("make", [explore_pair, explore_probability_mass])
def test_texts_stay_texts(two: Two, make: Callable[..., Explorer], text: str) -> None:
    tags: set[str] = set()

    class Page(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.add(tag)

    page = Page()
    page.feed(str(make(two, text + " film", text, text + " good").shown))
    page.close()
    assert tags <= OURS


def test_controls_that_score_nothing_ask_no_model(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer = explore_pair(two, *PAIR)
    asked: list[object] = []
    plain = ModelHandle.active
    monkeypatch.setattr(ModelHandle, "active", lambda handle: asked.append(handle) or plain(handle))
    for token in (1, 2, 3, 4):
        explorer.set(token=token)
    assert not asked
    explorer.set(chosen="i hated the plot. i loved it.")
    assert asked
