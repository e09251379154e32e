"""Where the probability went, as it is read: every table accounts for all of it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

from workbench.compare.model_handles import ModelHandle
from workbench.compare.probability_mass import Continuation, ProbabilityMass
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.data.tokenizer import Tokenizer
from workbench.train.base_model import BaseConfig, new_model
from workbench.view.compare.probability_mass import explore_probability_mass, mass_html
from workbench.view.compare.token_parts import change

PAIR = ("how was the film?", "the plot was good.", "overall, i hated the music.")
WORDS = Tokenizer.from_words(["yes", "no", "maybe"])


class Tables(HTMLParser):
    """The texts of the cells, by the class of their table and row."""

    def __init__(self, html: object) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.name = ""
        self.feed(str(html))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.name = dict(attrs)["class"] or ""
            self.rows[self.name] = []
        elif tag == "tr":
            self.rows[self.name].append([])
        elif tag in ("td", "th"):
            self.rows[self.name][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.name = "" if tag == "table" else self.name

    def handle_data(self, data: str) -> None:
        if self.name and self.rows[self.name] and self.rows[self.name][-1]:
            self.rows[self.name][-1][-1] += data


def number(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.fixture(scope="module")
def two() -> tuple[ModelHandle, ModelHandle]:
    world, config = Reviews(ReviewsConfig(topics=4)), BaseConfig()
    reference, policy = new_model(world, config), new_model(world, config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in policy.policy.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return (
        ModelHandle("reference", reference.policy, reference.tokenizer),
        ModelHandle("policy", policy.policy, policy.tokenizer),
    )


def test_changes_of_the_chosen_token_add_up_to_nothing(
    two: tuple[ModelHandle, ModelHandle],
) -> None:
    explorer = explore_probability_mass(two, *PAIR, draws=4, max_new_tokens=6)
    for token in (1, 4, 6):
        explorer.set(token=token)
        head, *rows = Tables(explorer.shown).rows["wb-choices"]
        assert head == ["token", "policy", "reference", "change", "log-ratio"]
        columns = [[number(row[place]) for row in rows] for place in (1, 2, 3)]
        assert [sum(column) for column in columns] == pytest.approx([1, 1, 0], abs=0.01)
        assert "other tokens" in rows[-1][0]
        changes = columns[2][:-1]
        assert changes == sorted(changes, reverse=True)


def test_every_token_of_the_chosen_names_what_gained(two: tuple[ModelHandle, ModelHandle]) -> None:
    explorer = explore_probability_mass(two, *PAIR, draws=4)
    _, *rows = Tables(explorer.shown).rows["wb-gainers"]
    assert len(rows) == 6
    assert [row[0].removeprefix("▶ ") for row in rows][::5] == ["1. the", "6. <eos>"]
    assert all(re.search(r"\+\d", cell) for row in rows for cell in row[2:])
    direction = "fell" if "log-ratio is −" in str(explorer.shown) else "rose"
    assert f"its probability {direction} by a factor of" in str(explorer.shown)


def test_another_seed_draws_other_texts(two: tuple[ModelHandle, ModelHandle]) -> None:
    explorer = explore_probability_mass(two, *PAIR, draws=8, max_new_tokens=6)
    before = Tables(explorer.shown).rows["wb-texts"]
    explorer.set(seed=1)
    after = Tables(explorer.shown).rows["wb-texts"]
    assert after[:1] == before[:1]
    assert after[3:] != before[3:]
    explorer.set(seed=0)
    assert Tables(explorer.shown).rows["wb-texts"] == before


def test_texts_are_listed_with_all_that_is_not() -> None:
    """Thirteen are drawn and ten listed: the rest stands in the last line."""
    yes, no, maybe = WORDS.encode("yes no maybe")
    log = torch.tensor([0.3, 0.1, *[0.04] * 13]).log().tolist()
    base = torch.tensor([0.4, 0.2, *[0.02] * 13]).log().tolist()
    named = (
        Continuation("chosen", (yes, WORDS.eos_id), True, 0, log[0], base[0]),
        Continuation("rejected", (no, WORDS.eos_id), True, 1, log[1], base[1]),
    )
    drawn = [
        Continuation("", (maybe,) * (count + 1), True, 1, log[2 + count], base[2 + count])
        for count in range(13)
    ]
    drawn[0] = replace(drawn[0], ids=(no, no), ended=False)
    _, *rows = Tables(mass_html(ProbabilityMass((*named, *drawn), 14, 0.1, 0.02), WORDS)).rows[
        "wb-texts"
    ]
    assert rows[0] == ["chosen: yes", "0", "0.300", "0.400", "−0.100", "−0.29", "−0.086"]
    assert rows[2][0] == "no no …"
    assert len(rows) == 2 + 10 + 1
    # 1 - 0.4 - 10 * 0.04 = 0.2 of the policy, 1 - 0.6 - 10 * 0.02 = 0.2 of the reference.
    assert rows[-1][0] == "all other completions"
    assert rows[-1][2:4] == ["0.200", "0.200"]
    assert sum(number(row[4]) for row in rows) == pytest.approx(0, abs=1e-6)


def test_a_text_counts_once_though_a_cut_one_that_is_not_listed_covers_it() -> None:
    yes, no, maybe = WORDS.encode("yes no maybe")
    log = torch.tensor([0.3, 0.1, *[0.04] * 10, 0.3]).log().tolist()
    base = torch.tensor([0.4, 0.2, *[0.02] * 10, 0.4]).log().tolist()
    rows = [
        Continuation("chosen", (yes, no, WORDS.eos_id), True, 0, log[0], base[0]),
        Continuation("rejected", (no, WORDS.eos_id), True, 1, log[1], base[1]),
        *[
            Continuation("", (maybe,) * (n + 1), True, 1, log[2 + n], base[2 + n])
            for n in range(10)
        ],
        Continuation("", (yes, no), False, 1, log[12], base[12]),  # gained least, so it is left out
    ]
    _, *listed = Tables(mass_html(ProbabilityMass(tuple(rows), 12, 0.1, 0.02), WORDS)).rows[
        "wb-texts"
    ]
    assert len(listed) == 2 + 10 + 1
    assert sum(float(row[2]) for row in listed) == pytest.approx(1, abs=1e-6)


def test_changes_are_written_with_a_sign_however_small() -> None:
    assert [change(by) for by in (-0.5, 3e-12)] == ["−0.500", "+3.0e−12"]
