"""Redraws only the moving parts of a figure, over a stored picture of the rest: ten times quicker.

Most of the time to draw a figure goes into its ticks and titles, which stay as they are while a
slider moves. Where an axis changes, the pictures of its last states are kept.
"""

from __future__ import annotations

from typing import Any

from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from workbench.view.html.images import pixels, quick_png
from workbench.view.plot.primitives import GUIDE
from workbench.view.plot.quick_text import draw_plain, is_plain

KEPT = 8  # pictures of what lies behind


class Layers:
    """PNGs of a figure whose moving parts carry a gid, as those of `primitives.move_line` do."""

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self._backgrounds: dict[Any, Any] = {}  # by the state of what lies behind, oldest first

    def png(self) -> bytes:
        """The figure as it is now, quickly."""
        canvas: FigureCanvasAgg = self._figure.canvas  # type: ignore[assignment]
        moving = self._moving()
        behind = (len(moving), *map(_behind, self._figure.axes))
        if behind in self._backgrounds:
            canvas.restore_region(self._backgrounds[behind])
        else:
            for artist in moving:
                artist.set_animated(True)  # left out when the background is drawn
            canvas.draw()
            for artist in moving:
                artist.set_animated(False)
            if len(self._backgrounds) == KEPT:
                del self._backgrounds[next(iter(self._backgrounds))]
            self._backgrounds[behind] = canvas.copy_from_bbox(self._figure.bbox)
        texts = [artist for artist in moving if is_plain(artist)]
        for artist in moving:
            if artist not in texts:
                artist.draw(canvas.get_renderer())
        image = pixels(canvas)
        draw_plain(image, texts, self._figure.dpi)
        return quick_png(image)

    def _moving(self) -> list[Artist]:
        parts: list[Artist] = [text for text in self._figure.texts if text.get_gid()]
        for axes in self._figure.axes:
            children = [*axes.images, *axes.patches, *axes.lines, *axes.collections, *axes.texts]
            parts += [child for child in children if child.get_gid() not in (None, GUIDE)]
        return sorted(parts, key=lambda artist: artist.get_zorder())


def _behind(axes: Any) -> tuple[object, ...]:
    """The state of a panel apart from its moving parts."""
    return axes.get_xlim(), axes.get_ylim(), axes.get_title("left"), axes.get_legend()
