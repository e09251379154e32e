"""Figures as PNG and as HTML."""

from __future__ import annotations

import base64
import io
import re

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from workbench.view.html.render import Html, render

COLOURS = 256  # of a saved picture; with fewer, lines over translucent bands lose theirs


def picture(figure: Figure) -> Html:
    """A figure as an <img> that needs no file."""
    return image(png(figure), describe(figure))


def describe(figure: Figure) -> str:
    """What a figure shows, in its own words: the lines above it, and the titles of its panels.

    >>> describe(Figure())
    'figure'
    """
    above = [text.get_text() for text in figure.texts]
    panels = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center")]
    said = [re.sub(r"\s{2,}", ", ", text.strip()) for text in [*above[:1], *panels, *above[1:]]]
    return ". ".join(filter(None, said)) or "figure"


def image(data: bytes, alt: str, **attributes: object) -> Html:
    """A PNG as an <img> that needs no file, with further attributes."""
    encoded = base64.b64encode(data).decode()
    return render("image", data=encoded, alt=alt, attributes=attributes)


def png(figure: Figure) -> bytes:
    """A figure as PNG on an opaque background, small enough to be kept in a notebook."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return encode(pixels(canvas).quantize(COLOURS, dither=Image.Dither.NONE), level=9)


def pixels(canvas: FigureCanvasAgg) -> Image.Image:
    """The pixels of a canvas, in true colour."""
    size, data = canvas.get_width_height(), canvas.buffer_rgba()
    return Image.frombuffer("RGBA", size, data, "raw", "RGBA", 0, 1).convert("RGB")


def encode(picture: Image.Image, level: int) -> bytes:
    """A picture as PNG; `level` 1 is quick, 9 is small."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=level)
    return file.getvalue()
