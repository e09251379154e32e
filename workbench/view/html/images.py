"""Figures as PNG and as HTML.

A saved picture has to be read on a white page and on a dark one. No ink has a contrast of 4.5 with
both: at best it is 4.35 with #fff and #111, the square root of theirs with each other. So a saved
figure stands on a card of its own, light but not white, with round corners. Where a style sheet of
ours reaches, in explorers and on the page, the figure takes the ground of the theme instead.
"""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from workbench.view.html.render import Html, render

COLOURS = 255  # of a saved picture; with fewer, lines over translucent bands lose theirs
PNG = b"\x89PNG\r\n\x1a\n"  # how a file begins
CARD, RADIUS = 0.965, 7  # brightness of the ground; pixels


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
    """A figure as PNG on a light card, small enough to be kept in a notebook."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        canvas = FigureCanvasAgg(figure)
    canvas.draw()
    toned = pixels(canvas).point(lambda shade: round(shade * CARD))
    card = toned.quantize(COLOURS, dither=Image.Dither.NONE)
    palette = card.getpalette() or []
    beside = len(palette) // 3  # the index of a colour that nothing else has
    card.putpalette([*palette, 255, 255, 255])
    corners = Image.new("1", card.size, 1)
    box = (0, 0, card.width - 1, card.height - 1)
    ImageDraw.Draw(corners).rounded_rectangle(box, RADIUS, fill=0)
    card.paste(beside, mask=corners)
    file = io.BytesIO()
    card.save(file, "PNG", compress_level=9, transparency=beside)
    return file.getvalue()


def pixels(canvas: FigureCanvasAgg) -> Image.Image:
    """The pixels of a canvas, in true colour."""
    size, data = canvas.get_width_height(), canvas.buffer_rgba()
    return Image.frombuffer("RGBA", size, data, "raw", "RGBA", 0, 1).convert("RGB")


def quick_png(picture: Image.Image) -> bytes:
    """A picture in true colour as PNG, in half the time that Pillow takes: no row is filtered."""
    width, height = picture.size
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with 0, for no filter
    rows[:, 1:] = np.asarray(picture).reshape(height, -1)
    size = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)  # eight bits each of three colours
    chunks = (b"IHDR" + size), (b"IDAT" + zlib.compress(rows.tobytes(), 1)), b"IEND"
    return PNG + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
