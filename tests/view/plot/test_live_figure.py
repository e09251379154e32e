"""The live picture shows what a figure drawn from scratch shows."""

from __future__ import annotations

import io
import math
import random
from typing import Any

import numpy as np
from PIL import Image

from workbench.train.events import ChangeEvent, StepEvent
from workbench.view.plot import run_figure as plots
from workbench.view.plot.live_figure import LiveFigure


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def wild_step(step: int, rng: random.Random) -> StepEvent:
    """Values that make limits grow again and again."""
    names = ("loss", "rewards/margins", "logratios/chosen", "logratios/rejected")
    return StepEvent(step, 40, 0, {name: rng.uniform(-1, 1) * 1.2**step for name in names})


def test_frames_on_top_of_frames_equal_one_drawn_from_scratch(fake_run: Any) -> None:
    live, fresh, rng = LiveFigure(), LiveFigure(), random.Random(0)
    events = [event for event in fake_run(total=6) if not isinstance(event, StepEvent)]
    events += [wild_step(step, rng) for step in range(1, 41)] + [ChangeEvent(40, "beta", 0.2)]
    for number, event in enumerate(events):
        live.add("run", event)
        fresh.add("run", event)
        if number % 4 == 0:
            live.png()
        if number == 30:
            for figure in (live, fresh):
                figure.history.fork("run", "branch 1")
    np.testing.assert_array_equal(pixels(live.png(final=True)), pixels(fresh.png(final=True)))


def test_redrawn_panels_leave_nothing_of_the_old_ones() -> None:
    """The same limits, reached by growing in the one and at once in the other."""
    live, fresh, rng = LiveFigure(), LiveFigure(), random.Random(1)
    for step in range(1, 30):
        event = wild_step(step, rng)
        live.add("run", event)
        fresh.add("run", event)
        live.png()
    plots.draw_panels(fresh.history, fresh.figure)
    for old, new in zip(live.figure.axes, fresh.figure.axes, strict=True):
        new.set(xlim=old.get_xlim(), ylim=old.get_ylim())
    np.testing.assert_array_equal(pixels(live.png()), pixels(fresh.png()))


def test_names_follow_the_lines_that_are_drawn() -> None:
    """A run by KTO tells its z with the first step, after the figure was drawn empty."""
    live, fresh = LiveFigure(), LiveFigure()
    live.png()
    event = StepEvent(1, 2, 0, {"loss": 0.5, "logratios/chosen": 1.0, "z": 0.5})
    for figure in (live, fresh):
        figure.add("run", event)
    picture = pixels(live.png(final=True))
    shown = [axes for axes in live.figure.axes if axes.get_visible()]
    (panel,) = (axes for axes in shown if axes.get_gid() == "log_ratios")
    assert [text.get_text() for text in panel.texts] == ["z", "undesirable", "desirable"]
    np.testing.assert_array_equal(picture, pixels(fresh.png(final=True)))


def test_picture_has_the_size_and_the_colours_of_the_figure() -> None:
    figure = LiveFigure((600, 312))
    figure.add("run", StepEvent(1, 2, 0, {"loss": 0.2}))
    image = pixels(figure.png())
    assert image.shape == (312, 600, 3)
    assert (image[:4, :4] == 255).all()
    true_colours = np.asarray(figure._canvas.buffer_rgba())[..., :3].astype(int)
    assert np.abs(image - true_colours).mean() < 0.5  # the palette is close enough for the eye
    blue = (true_colours == [0x00, 0x72, 0xB2]).all(axis=-1)  # inside of a line of the key
    assert blue.any()
    assert np.abs(image - true_colours)[blue].max() <= 8


def test_picture_changes_with_the_data_only() -> None:
    figure = LiveFigure()
    figure.add("run", StepEvent(1, 20, 0, {"loss": 0.2}))
    first = figure.png()
    assert figure.png() == first
    figure.add("run", StepEvent(2, 20, 0, {"loss": 0.3}))
    assert figure.png() != first


def test_lines_of_a_frame_are_bounded() -> None:
    figure = LiveFigure()
    for step in range(1, 3001):
        figure.add("run", StepEvent(step, 3000, 0, {"loss": math.sin(step)}))
    figure.png()
    assert all(len(line.get_xdata()) <= 500 for line in figure.figure.axes[0].lines)
