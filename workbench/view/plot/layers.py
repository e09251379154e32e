"""Redraws only the moving parts of a figure, over a stored picture of the rest: ten times quicker.

Most of the time to draw a figure goes into its ticks and titles, which stay as they are while a
slider moves.
"""

from __future__ import annotations

from typing import Any

from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from workbench.view.html.images import encode, pixels
from workbench.view.plot.primitives import GUIDE


class Layers:
    """PNGs of a figure whose moving parts carry a gid, as those of `primitives.move_line` do."""

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self._behind: Any = None
        self._background: Any = None

    def png(self) -> bytes:
        """The figure as it is now, quickly."""
        canvas: FigureCanvasAgg = self._figure.canvas  # type: ignore[assignment]
        moving = self._moving()
        behind = [len(moving), *map(_behind, self._figure.axes)]
        if behind == self._behind:
            canvas.restore_region(self._background)
        else:
            for artist in moving:
                artist.set_animated(True)  # left out when the background is drawn
            canvas.draw()
            for artist in moving:
                artist.set_animated(False)
            self._background, self._behind = canvas.copy_from_bbox(self._figure.bbox), behind
        for artist in moving:
            artist.draw(canvas.get_renderer())
        return encode(pixels(canvas), level=1)

    def _moving(self) -> list[Artist]:
        parts: list[Artist] = [text for text in self._figure.texts if text.get_gid()]
        for axes in self._figure.axes:
            children = [*axes.images, *axes.patches, *axes.lines, *axes.collections, *axes.texts]
            parts += [child for child in children if child.get_gid() not in (None, GUIDE)]
        return sorted(parts, key=lambda artist: artist.get_zorder())


def _behind(axes: Any) -> tuple[object, ...]:
    """The state of a panel apart from its moving parts."""
    return axes.get_xlim(), axes.get_ylim(), axes.get_title("left"), axes.get_legend()
