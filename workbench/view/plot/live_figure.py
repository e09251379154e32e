"""A figure that follows a run at a few milliseconds a frame.

Measured on two cores, six panels, 1000x520 pixels: drawing everything anew and encoding it in true
colour takes about 85 ms. So ticks, grids and titles are drawn once and kept as a background, only
lines are drawn each frame, a panel whose limits grew is redrawn alone, and the PNG has a palette
of the figure's own colours.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from workbench.train.events import Event
from workbench.view.html.images import encode, pixels
from workbench.view.plot import primitives
from workbench.view.plot import run_figure as plots
from workbench.view.plot.history import History

SHADES = 24  # of each ink in the palette; with more, Pillow takes a neighbour of white for white


class LiveFigure:
    """Takes events, gives PNGs. One thread owns it."""

    def __init__(self, size: tuple[int, int] = (1000, 520)) -> None:
        self.history = History()
        self.figure = plots.empty_overview(size)
        self._canvas: FigureCanvasAgg = self.figure.canvas  # type: ignore[assignment]
        self._background: Any = None
        self._key: tuple[object, ...] = ()

    def add(self, run: str, event: Event) -> None:
        """Add an event of `run`."""
        self.history.add(run, event)

    def png(self, final: bool = False) -> bytes:
        """Draw what has changed and encode the picture; a final one fits its limits to the data."""
        for axes in self.figure.axes if final else ():
            axes.set_autoscale_on(True)
        outgrown = self._update()
        key = (tuple(self.history.runs), any(self.history.changes.values()))
        if key != self._key:
            self._key, self._background = key, None
            plots.write_key(self.history, self.figure)
        self._draw_background(outgrown)
        renderer = self._canvas.get_renderer()
        for axes in self.figure.axes:
            for line in _moving(axes) if axes.get_visible() else ():
                line.draw(renderer)
        return self._encode(level=9 if final else 1)

    def _update(self) -> list[Axes]:
        """Move the lines; the axes on which anything else has changed."""
        before = list(map(_behind, self.figure.axes))
        plots.draw_panels(self.history, self.figure)
        for axes in self.figure.axes:
            for line in _moving(axes):
                line.set_animated(True)  # left out when the background is drawn
        after = zip(self.figure.axes, before, strict=True)
        return [axes for axes, then in after if _behind(axes) != then]

    def _draw_background(self, outgrown: list[Axes]) -> None:
        """Put the background on the canvas, with the panels in `outgrown` drawn anew."""
        canvas = self._canvas
        if self._background is None:
            canvas.draw()
        else:
            canvas.restore_region(self._background)
            renderer = canvas.get_renderer()
            for axes in outgrown:
                Rectangle(*plots.cell(axes), color="white", transform=None).draw(renderer)
                axes.draw(renderer)
        if self._background is None or outgrown:
            self._background = canvas.copy_from_bbox(self.figure.bbox)

    def _encode(self, level: int) -> bytes:
        image = pixels(self._canvas)
        return encode(image.quantize(palette=_PALETTE, dither=Image.Dither.NONE), level)


def _moving(axes: Axes) -> list[Line2D]:
    """Lines that change, in an order of drawing that does not depend on which came first."""
    moving = [line for line in axes.lines if line.get_gid() != primitives.GUIDE]
    return sorted(moving, key=lambda line: (line.get_zorder(), str(line.get_gid())))


def _behind(axes: Axes) -> tuple[object, ...]:
    """All that can change in a panel apart from its moving lines."""
    still = len(axes.lines) - len(_moving(axes))
    texts = tuple(text.get_text() for text in axes.texts)
    shown = axes.get_gid(), axes.get_visible(), axes.get_ylabel(), texts, still
    return *shown, axes.get_xlim(), axes.get_ylim()


def _palette() -> Image.Image:
    """The colours of the figure, each in steps towards white, for antialiased edges."""
    inks = [primitives.BLUE, primitives.ORANGE, primitives.GREEN, primitives.INK]
    colours = [
        round(255 * (1 - share / SHADES * (1 - part)))
        for ink in inks
        for share in range(SHADES + 1)
        for part in to_rgb(ink)
    ]
    image = Image.new("P", (1, 1))
    image.putpalette(colours)
    return image


_PALETTE = _palette()
