"""The table of held-out pairs: sorted, searched, and one of them opened."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig
from workbench.view.compare.pair_table import (
    COLUMNS,
    PAGE,
    SORTS,
    arranged,
    explore_pairs,
    pair_frame,
    pairs_table,
    rounding,
)
from workbench.view.html.tokens import signed

WORLD = ReviewsConfig(pairs=48, topics=4)
HELD_OUT = 10  # pairs: whole topics, twelve at most
CONFIG = TrainConfig(
    world=WORLD, pairs_from="grammar", batch_size=8, held_out=12, samples=0, lr=1e-3, warmup=1,
    max_steps=6, max_new_tokens=12,
)  # fmt: skip


def make_run(held_out: int = 12, **settings: object) -> Run:
    base = new_model(Reviews(WORLD), BaseConfig(dim=32, layers=1, hidden_dim=48))
    changed = {**vars(CONFIG), "held_out": held_out, **settings}
    return Run.create(TrainConfig(**changed), base=base)


@pytest.fixture(scope="module")
def run() -> Run:
    run = make_run()
    list(run)
    return run


def plain(html: object) -> str:
    return " ".join(re.sub("<[^>]*>", " ", str(html)).split())


def test_the_opened_pair_has_the_margin_of_its_row(run: Run) -> None:
    explorer = explore_pairs(run)
    margins = sorted(pair_frame(run).margin)
    for place in (0, 5, HELD_OUT - 1):
        explorer.set(row=place + 1)
        assert f"margin {signed(margins[place])} nats" in plain(explorer.shown)
        assert f"▶ {place + 1}." in plain(explorer.shown)
    explorer.set(direction="highest first", row=1)
    assert f"margin {signed(margins[-1])} nats" in plain(explorer.shown)


def test_it_opens_at_the_token_with_the_largest_share(run: Run) -> None:
    explorer = explore_pairs(run)
    explorer.set(below="share of the margin")
    for row in (1, 2, HELD_OUT):
        explorer.set(row=row)
        shares = [
            abs(float(share.replace("−", "-")))
            for share in re.findall(r"<br><small[^>]*>(\S+?)</small>", str(explorer.shown))
        ]
        told = re.search(r"share of the margin (\S+) of", plain(explorer.shown))
        assert told is not None
        assert abs(float(told[1].replace("−", "-"))) == max(shares)


def test_searching_leaves_what_was_searched_for(run: Run) -> None:
    explorer = explore_pairs(run)
    explorer.set(row=HELD_OUT)
    wanted = run.data.held_out_texts[0].chosen
    explorer.set(search=wanted.upper())
    assert explorer.values["row"] == explorer.controls["row"].max < HELD_OUT
    assert wanted in plain(explorer.shown)
    explorer.set(search="nobody wrote this")
    assert plain(explorer.shown) == "no pair has these letters in it"
    explorer.set(search="")
    assert explorer.controls["row"].max == HELD_OUT


@pytest.mark.parametrize("sort", SORTS)
def test_every_column_sorts(run: Run, sort: str) -> None:
    frame = pair_frame(run)
    found = arranged(frame, sort, "lowest first", "")
    assert found[SORTS[sort]].is_monotonic_increasing
    assert arranged(frame, sort, "highest first", "")[SORTS[sort]].is_monotonic_decreasing
    assert sorted(found.pair) == list(range(HELD_OUT))


def test_what_a_run_says_changes_when_it_goes_on() -> None:
    run = make_run()
    explorer = explore_pairs(run)
    assert "margin 0.00 nats" in plain(explorer.shown)
    assert "tie –" in plain(explorer.shown)
    list(run)
    explorer.set(row=2)
    margin = sorted(pair_frame(run).margin)[1]
    assert f"margin {signed(margin)} nats" in plain(explorer.shown)


def test_pages_words_and_texts() -> None:
    values = {name: [1.0] * 20 for name, _ in COLUMNS.values()} | {"order": [1, 0, -1, *[1] * 17]}
    prompts = ["<script>", "&amp; \u202e", "long " * 40, *["how?"] * 17]
    frame = pd.DataFrame(values).assign(prompt=prompts)
    frame["rewards/accuracies"] = [1.0, 0.0, 0.0, *[1.0] * 17]
    html = pairs_table(frame, 2)
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "&amp;amp;" in html
    assert "long …" in html
    assert all(word in html for word in ("yes ✓", "no ✗", "tie –"))
    assert f"rows 1 to {PAGE} of 20" in html
    assert "90% of these are told apart" in html
    assert "rows 17 to 20 of 20" in pairs_table(frame, 19)


def test_what_can_not_be_shown_is_refused(run: Run) -> None:
    with pytest.raises(WorkbenchError, match="sort='loss' is unknown; accepted: order of the data"):
        explore_pairs(run, sort="loss")
    with pytest.raises(WorkbenchError, match="holds no pairs out"):
        explore_pairs(make_run(held_out=0))


def test_a_margin_that_depends_on_the_batch_is_explained(run: Run) -> None:
    assert "wb-rounding" not in str(explore_pairs(run).shown)
    assert rounding(1.001, 1.0) == ""
    assert "table says +2.57" in rounding(2.57, 2.07)
    assert "scored alone, as below, the margin is +2.07" in rounding(2.57, 2.07)
