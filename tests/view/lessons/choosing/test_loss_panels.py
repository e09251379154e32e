"""A panel for each loss, with the registry's own values in it."""

from __future__ import annotations

import numpy as np

from workbench.core.losses import LOSSES
from workbench.view.lessons.choosing.loss_panels import loss_panels
from workbench.view.lessons.loss_shapes import loss_and_gradient


def test_every_loss_on_one_pair_has_its_panel_with_value_and_gradient() -> None:
    figure = loss_panels(beta=0.3)
    panels = {axes.get_title("left"): axes for axes in figure.axes if axes.axison}
    of_one_pair = [n for n, o in LOSSES.items() if o.method == "preference" and not o.needs_step]
    assert list(panels) == of_one_pair
    for name, axes in panels.items():
        drawn = {line.get_gid(): line.get_ydata() for line in axes.lines}
        values, slopes = loss_and_gradient(name, 0.3)
        np.testing.assert_array_equal(drawn[name], values)
        np.testing.assert_array_equal(drawn[f"{name} gradient"], slopes)
        assert axes.get_ylim() == (-1.6, 4.2)  # the same everywhere, so that panels compare
