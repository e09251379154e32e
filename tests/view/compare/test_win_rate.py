"""The picture of win rates: what is drawn is what was counted, whatever the judges are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.compare.judging.judges import Outcomes, TrueReward
from workbench.compare.judging.win_rate import Judged, judge_models, rates_frame
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.view.compare.win_rate import explore_win_rates, win_rates
from workbench.view.controls.explorer import Explorer
from workbench.view.plot.primitives import BLUE, PINK


def outcomes(count: int, notes: dict[str, int] | None = None, seed: int = 0) -> Outcomes:
    rng = np.random.default_rng(seed)
    difference = rng.normal(3, 5, count)
    scores = (rng.random(count) < 1 / (1 + np.exp(-0.3 * difference))).astype(float)
    scores[::7] = 0.5
    prompts = tuple(map(str, range(count)))
    return Outcomes(prompts, scores, 20 + difference, np.full(count, 20.0), notes or {})


@pytest.fixture
def judged() -> Judged:
    odd = outcomes(50, {"orders disagree": 4}, seed=1)
    odd.scores[3] = np.nan
    return Judged(("policy", "reference"), {"true reward": outcomes(50), "a $x^ <b> judge": odd})


def written(axes: Axes, key: str) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_gid() == key]


def line(axes: Axes, key: str) -> Any:
    return next(line for line in axes.lines if line.get_gid() == key)


def test_marks_and_bars_are_where_the_frame_says(judged: Judged) -> None:
    frame = rates_frame(judged)
    axes = win_rates(frame, Figure().subplots())
    for key, colour, columns in (
        ("rate", BLUE, ["rate", "low", "high"]),
        ("controlled", PINK, ["controlled", "controlled_low", "controlled_high"]),
    ):
        mark = line(axes, key)
        np.testing.assert_allclose(mark.get_xdata(), frame[columns[0]])
        assert mark.get_color() == colour
        bars = np.reshape(line(axes, f"{key} bars").get_xdata(), (2, 3))
        np.testing.assert_allclose(bars[:, :2], frame[columns[1:]])
    assert line(axes, "rate").get_markerfacecolor() == BLUE
    assert line(axes, "controlled").get_markerfacecolor() == "white"
    assert line(axes, "guide").get_xdata() == [0.5, 0.5]


def test_every_number_is_written(judged: Judged) -> None:
    frame = rates_frame(judged)
    axes = win_rates(frame, Figure().subplots())
    first = frame.iloc[0]
    assert axes.get_title("left") == "How often the policy beats the reference"
    assert written(axes, "judges") == ["true reward", "a $x^ <b> judge"]
    counts = f"{first.wins} wins, {first.ties} ties, {first.losses} losses"
    assert written(axes, "counts")[0] == counts
    rate = f"● {first.rate:.2f} ({first.low:.2f} to {first.high:.2f}) as judged"
    assert written(axes, "rates")[0] == rate
    assert written(axes, "equal")[0].startswith(f"○ {first.controlled:.2f} (")
    assert written(axes, "about")[0] == f"{first.length_a:.1f} words per text against 20.0"
    assert written(axes, "notes") == ["", "1 without a verdict, orders disagree 4"]


def test_one_of_a_kind_and_nothing_at_all() -> None:
    none = Outcomes.of(["p"], ["a"], ["b"], [float("nan")])
    one = Outcomes.of(["p", "q"], ["a", "b"], ["b", "c"], [1.0, 0.0])
    frame = rates_frame(Judged(("a", "b"), {"nobody": none, "somebody": one}))
    axes = win_rates(frame, Figure().subplots())
    assert written(axes, "counts") == ["0 wins, 0 ties, 0 losses", "1 win, 0 ties, 1 loss"]
    assert written(axes, "rates")[0] == "● no verdict"


def test_the_slider_counts_fewer_answers_on_the_same_figure(judged: Judged) -> None:
    explorer = explore_win_rates(judged)
    figure, many = explorer.shown, explorer.png
    assert isinstance(figure, Figure)
    assert explorer.values == {"answers": 50}
    assert figure.get_facecolor() == (1, 1, 1, 1)
    explorer.set(answers=10)
    assert explorer.shown is figure
    assert explorer.png != many
    frame = rates_frame(judged.first(10))
    np.testing.assert_allclose(line(figure.axes[0], "rate").get_xdata(), frame["rate"])
    assert frame["wins"].sum() + frame["ties"].sum() + frame["losses"].sum() == 19
    assert sum(len(line.get_gid() or "") > 0 for line in figure.axes[0].lines) == 5


def test_a_row_s_texts_do_not_overlap_and_stay_on_the_picture(judged: Judged) -> None:
    figure = explore_win_rates(judged).shown
    assert isinstance(figure, Figure)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    for place, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(other) for other in boxes[:place])


class FakeModel:
    """Always writes the same."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self._text = name, text

    def answer(self, prompts: Any, sampling: Any) -> list[str]:
        return [self._text] * len(prompts)


def test_two_models_are_judged_and_shown() -> None:
    world = Reviews()
    two: Any = (FakeModel("one", "the plot was superb."), FakeModel("other", "it was awful."))
    explorer = explore_win_rates(judge_models(two, world.prompts[:2], [TrueReward(world)]))
    assert isinstance(explorer, Explorer)
    assert isinstance(explorer.shown, Figure)
    axes = explorer.shown.axes[0]
    assert axes.get_title("left") == "How often the one beats the other"
    assert written(axes, "counts") == ["2 wins, 0 ties, 0 losses"]
    with pytest.raises(WorkbenchError, match="prompts is empty"):
        judge_models(two, [], [TrueReward(world)])
