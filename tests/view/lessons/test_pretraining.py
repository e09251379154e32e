"""Watching a model learn: the figure says what was measured, texts stay text, weights the same."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.models.load import model_hash
from workbench.runs.pretraining_eval import Snapshot, Written
from workbench.train.base_model import BaseConfig, new_model, pretrain
from workbench.view.lessons.pretraining import (
    as_metrics,
    draw_loss,
    draw_share,
    marked_text,
    text_table,
    watch_pretraining,
)
from workbench.view.plot.primitives import GUIDE

WORLD = Reviews(ReviewsConfig(pairs=8, topics=3))
SMALL = BaseConfig(dim=16, layers=1, hidden_dim=24, steps=12, texts=256)
GOOD = Written("how was the film?", "the plot was good.", True, 5)


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


@pytest.fixture
def shell() -> Iterator[None]:
    """`display` gives no handle outside a shell."""
    InteractiveShell.instance()
    yield
    InteractiveShell.clear_instance()


def taken(step: int, loss: float, right: int, sharpened: bool = False) -> Snapshot:
    """With `right` of ten texts that parse."""
    wrong = Written(GOOD.prompt, "the plot.", False, 2)
    return Snapshot(step, 100, loss, (GOOD,) * right + (wrong,) * (10 - right), sharpened)


def frame(*snapshots: Snapshot) -> pd.DataFrame:
    rows = [
        ("run", snapshot.step, name, value)
        for snapshot in snapshots
        for name, value in as_metrics(snapshot).metrics.items()
    ]
    return pd.DataFrame(rows, columns=["run", "step", "metric", "value"])


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def plain(markup: str) -> str:
    return html.unescape(re.sub("<[^>]*>", "", markup))


def test_one_call_trains_and_shows(shell: None) -> None:
    said: list[Snapshot] = []
    with capture_output() as captured:
        model = watch_pretraining(WORLD, SMALL, samples=8, snapshots=said)
    alone = new_model(WORLD, SMALL)
    list(pretrain(alone, WORLD, SMALL))
    assert model_hash(model.policy) == model_hash(alone.policy)
    assert [s.step for s in said][-2:] == [12, 12]
    assert said[-1].sharpened
    assert len(said[0].texts) == 8
    last = captured.outputs[-1].data["text/html"]
    assert "step 12 of 12" in last
    assert 'src="data:image/png;base64,' in last
    assert plain(last).count("parse") >= len({0, 1, 3, 10, 12, "sharpened"})


def test_the_loss_stands_between_chance_and_grammar(axes: Axes) -> None:
    points = frame(taken(10, 4.0, 0), taken(100, 1.5, 9), taken(100, 1.6, 10, sharpened=True))
    assert draw_loss(points, axes, floor=0.9, chance=4.9) is axes
    assert draw_loss(points, axes, floor=0.9, chance=4.9) is axes
    assert words(axes) == [
        "the grammar itself: 0.90", "all words alike: 4.90", "◆ sharpened: 1.60", "step 100: 1.50",
    ]  # fmt: skip
    lines = {line.get_gid(): line for line in axes.lines if line.get_gid() != GUIDE}
    assert lines["run held_out/loss"].get_xydata().tolist() == [[10, 4.0], [100, 1.5]]
    assert lines["sharpened/"].get_xydata().tolist() == [[100, 1.6]]
    assert len(axes.lines) == 4  # two guides and these two


def test_the_share_comes_with_its_interval(axes: Axes) -> None:
    draw_share(frame(taken(10, 4.0, 0), taken(100, 1.5, 9)), axes)
    assert words(axes) == ["step 100: 90%"]
    lines = {line.get_gid(): line for line in axes.lines}
    assert lines["run held_out/grammatical"].get_ydata().tolist() == [0.0, 0.9]
    low, high = lines["run bars"].get_ydata()[3:5]  # Wilson's interval of 9 out of 10
    assert (round(low, 3), round(high, 3)) == (0.596, 0.982)


def test_nothing_measured_yet_is_an_empty_figure(axes: Axes) -> None:
    empty = frame()
    assert not words(draw_share(empty, axes))
    assert text_table([], 2).count("<tr>") == 1


def test_the_table_has_a_row_a_snapshot() -> None:
    table = text_table([taken(0, 4.9, 0), taken(100, 1.5, 9), taken(100, 1.6, 10, True)], 1)
    assert table.count("<tr>") == 4
    assert table.count(GOOD.prompt) == 1
    assert "step 0loss 4.90 · 0% parse" in plain(table)
    assert "sharpenedloss 1.60 · 100% parse" in plain(table)


@pytest.mark.parametrize(
    ("text", "parses", "fitting", "shown", "marked"),
    [
        ("the plot was good.", True, 5, "✓ the plot was good.", ""),
        ("the plot was", False, 3, "✗ the plot was (breaks off)", ""),
        ("", False, 0, "✗  (breaks off)", ""),
        ("the plot, was", False, 2, "✗ the plot, was", ", was"),
        ("the plot breakfast was", False, 2, "✗ the plot breakfast was", "breakfast was"),
        ("odd " * 30, False, 0, "✗ " + "odd " * 14 + "…", ("odd " * 14).strip()),
        ("the plot " + "odd " * 30, False, 2, "✗ the plot " + "odd " * 14 + "…", None),
        ("<b>&amp; </script>", False, 0, "✗ <b>&amp; </script>", None),
    ],
)
def test_texts_are_marked_from_where_they_fail(
    text: str, parses: bool, fitting: int, shown: str, marked: str | None
) -> None:
    made = marked_text(Written("how was it?", text, parses, fitting))
    assert plain(made).replace(" ", "") == shown.replace(" ", "")
    assert "<script" not in made
    assert "</script" not in made
    if marked is not None:
        found = re.search("<span[^>]*>(.*)</span>", made)
        assert (found[1] if found else "") == marked
