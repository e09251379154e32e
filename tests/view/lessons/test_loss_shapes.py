"""Shapes of losses and weights of pairs: the registry's own functions, the numbers by hand."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from workbench.core.losses import LOSSES
from workbench.errors import WorkbenchError
from workbench.view.controls.explorer import Explorer
from workbench.view.lessons.loss_shapes import (
    COLOURS,
    MARGINS,
    ZERO,
    _look,
    explore_gradient_weight,
    explore_losses,
    loss_and_gradient,
)

PAIRWISE = [
    name for name, loss in LOSSES.items() if loss.method == "preference" and not loss.needs_step
]


@pytest.fixture(scope="module")
def losses() -> Explorer:
    return explore_losses()


def axes_of(explorer: Explorer) -> Any:
    assert isinstance(explorer.shown, Figure)
    return explorer.shown.axes


def lines(explorer: Explorer, panel: int) -> dict[str, Any]:
    return {line.get_gid(): line for line in axes_of(explorer)[panel].lines}


def numbers(explorer: Explorer) -> str:
    assert isinstance(explorer.shown, Figure)
    return explorer.shown.texts[1].get_text()


# discopop turns within less than the distance of two margins.
@pytest.mark.parametrize("name", [name for name in PAIRWISE if name != "discopop"])
def test_slopes_are_those_of_the_curve(name: str) -> None:
    values, slopes = loss_and_gradient(name, 0.3)
    assert values.shape == slopes.shape == MARGINS.shape
    # Central differences; at the hinge's corner the slope is one of two.
    between = (values[2:] - values[:-2]) / (MARGINS[2:] - MARGINS[:-2]).numpy()
    close = np.abs(between - slopes[1:-1]) < 1e-3
    assert (~close).sum() <= 2


@pytest.mark.parametrize(
    ("name", "loss", "slope"),
    [
        # At margin 0 and beta 0.5.
        ("dpo", math.log(2), -0.25),  # -beta sigmoid(0)
        ("cdpo", math.log(2), -0.2),  # 0.9 * -0.25 + 0.1 * 0.25
        ("ipo", 1.0, -2.0),  # (0 - 1 / (2 * 0.5))^2, twice that
        ("hinge", 1.0, -0.5),  # max(0, 1 - 0)
        ("dpo_norm", math.log(2), -0.025),  # ten tokens per side
    ],
)
def test_losses_at_margin_0(name: str, loss: float, slope: float) -> None:
    values, slopes = loss_and_gradient(name, 0.5)
    assert MARGINS[ZERO] == 0
    assert (values[ZERO], slopes[ZERO]) == (pytest.approx(loss), pytest.approx(slope))


def test_every_registered_loss_can_be_chosen(losses: Explorer) -> None:
    assert set(losses.values) == {"beta", *PAIRWISE}
    for name in PAIRWISE:
        losses.set(**{name: True})
        np.testing.assert_array_equal(
            lines(losses, 0)[name].get_ydata(), loss_and_gradient(name, 0.5)[0]
        )
    for name in PAIRWISE:
        losses.set(**{name: name in ("dpo", "ipo")})
    assert np.isnan(lines(losses, 0)["hinge"].get_ydata()).all()
    assert "hinge" not in numbers(losses)


def test_losses_differ_in_colour_or_dashes() -> None:
    assert len({str(_look(place)) for place in range(20)}) == 20


def test_with_all_losses_every_name_can_be_read() -> None:
    explorer = explore_losses(PAIRWISE)
    for axes in axes_of(explorer):
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
        assert len(boxes) == len(PAIRWISE)
        assert not [(one, two) for one, two in combinations(boxes, 2) if one.overlaps(two)]


@pytest.mark.parametrize("colour", COLOURS)
def test_lines_stand_out_from_white(colour: str) -> None:
    """A contrast of 3 is what WCAG 2.1 (1.4.11) asks of lines."""
    parts = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in to_rgb(colour)
    ]
    luminance = np.dot([0.2126, 0.7152, 0.0722], parts)
    assert 1.05 / (luminance + 0.05) >= 3


def test_names_stand_on_their_lines(losses: Explorer) -> None:
    losses.set(beta=0.5, dpo=True, ipo=True)
    for axes, side in zip(axes_of(losses), (0, 1), strict=True):
        written = {text.get_text(): text.get_position() for text in axes.texts if text.get_text()}
        assert written.keys() == {"dpo", "ipo"}
        for name, (x, y) in written.items():
            assert y == pytest.approx(np.interp(x, MARGINS, loss_and_gradient(name, 0.5)[side]))


@pytest.mark.parametrize("beta", [0.05, 0.5, 10.0])
def test_ipo_stays_within_both_panels(losses: Explorer, beta: float) -> None:
    losses.set(beta=beta, ipo=True)
    for axes, values in zip(axes_of(losses), loss_and_gradient("ipo", beta), strict=True):
        bottom, top = axes.get_ylim()
        assert bottom < values.min()
        assert values.max() < top


def test_hinge_is_steep_where_it_steps(losses: Explorer) -> None:
    """The step of its gradient is drawn less than a pixel wide."""
    losses.set(beta=0.5, hinge=True)
    axes = axes_of(losses)[1]
    slopes = lines(losses, 1)["hinge"].get_ydata()
    (step,) = np.diff(slopes).nonzero()[0]
    points = axes.transData.transform([(MARGINS[step], 0), (MARGINS[step + 1], 0)])
    assert points[1, 0] - points[0, 0] < 1


def test_beta_moves_the_curves(losses: Explorer) -> None:
    losses.set(beta=2.0)
    assert numbers(losses).startswith("beta 2   gradient at margin 0:   dpo -1.000")
    np.testing.assert_array_equal(
        lines(losses, 1)["dpo"].get_ydata(), loss_and_gradient("dpo", 2.0)[1]
    )
    losses.set(beta=0.5)


def test_unknown_losses_are_told() -> None:
    with pytest.raises(WorkbenchError, match="loss='dopo' is unknown; accepted: dpo"):
        explore_losses(["dopo"])


def test_weights_of_pairs_by_hand() -> None:
    # Margins 0, ln 3 and -ln 3: weights 1/2, 1/4 and 3/4 at beta 1; one of three in wrong order
    # that holds half of the weight, and the tie counts as not right.
    third = math.log(3)
    frame = pd.DataFrame(
        {"logratios/chosen": [0.0, third, 0.0], "logratios/rejected": [0.0, 0.0, third]}
    )
    explorer = explore_gradient_weight(frame, beta=1.0)
    assert "weight / beta: mean 0.500   below 0.1: 0 pairs" in numbers(explorer)
    assert "2 pairs not in the right order hold 83% of all weight" in numbers(explorer)
    points = lines(explorer, 0)["right order"].get_xydata()
    np.testing.assert_allclose(points, [[third, 0.25]])
    counts = [bar.get_width() for bar in axes_of(explorer)[1].patches]
    assert counts == [0, 0, 1, 0, 0, 1, 0, 1, 0, 0]
    before = explorer.png
    explorer.set(beta=10.0)
    assert explorer.png != before
    assert "below 0.1: 1 pairs" in numbers(explorer)


def test_a_run_that_has_not_begun_has_ties_alone() -> None:
    frame = pd.DataFrame({"logratios/chosen": [0.0] * 4, "logratios/rejected": [0.0] * 4})
    assert "weight / beta: mean 0.500" in numbers(explore_gradient_weight(frame, beta=0.1))
