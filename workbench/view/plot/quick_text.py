"""Plain texts of a figure drawn a line at a time: some five times quicker than letter by letter.

The letters are those of matplotlib; a line begins on a whole pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import get_hinting_flag
from matplotlib.colors import to_hex
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from PIL import Image

LOWER = 0.65  # pixels that a bitmap reaches below its descent: the best fit to matplotlib's own
SHARE = {"left": 0.0, "center": 0.5, "right": 1.0}  # of a text, left of the point that it is at
TALL = "lp"  # a letter that rises and one that falls: matplotlib aligns a line by their height


def is_plain(artist: Artist) -> TypeGuard[Text]:
    """Whether it is one upright line of text, without a box or formulas, in letters of its font."""
    if type(artist) is not Text:
        return False
    text = artist.get_text()
    decorated = artist.get_bbox_patch() or artist.get_path_effects() or artist.get_alpha()
    clipped = artist.axes is not None and artist.get_clip_on()
    if decorated or clipped or artist.get_rotation():
        return False
    if "\n" in text or (artist.get_parse_math() and text.count("$") > 1):
        return False
    path = findfont(artist.get_fontproperties())
    return all(_has(path, letter) for letter in text)


def draw_plain(image: Image.Image, texts: Iterable[Text], dpi: float) -> None:
    """Draw texts that are plain onto the pixels of their figure."""
    for text in texts:
        if not text.get_visible() or not text.get_text():
            continue
        path = findfont(text.get_fontproperties())
        line = _line(path, float(text.get_fontsize()), dpi, text.get_text())
        place: Any = text.get_unitless_position()
        x, y = text.get_transform().transform(place)
        x -= SHARE[text.get_horizontalalignment()] * line.width
        lowest = image.height - y + line.below.get(text.get_verticalalignment(), 0) + line.descent
        corner = round(x + line.offset), round(lowest + LOWER) - line.letters.height
        image.paste(to_hex(text.get_color()), corner, line.letters)


class _Line(NamedTuple):
    """A line of text that has been drawn; lengths in pixels.

    `below` is how far its baseline lies under the height that it is aligned to.
    """

    letters: Image.Image
    width: float
    descent: float
    offset: float
    below: dict[str, float]


@lru_cache(1024)
def _line(path: str, size: float, dpi: float, text: str) -> _Line:
    font = get_font(path)
    font.set_size(size, dpi)
    font.set_text(TALL, 0.0, flags=get_hinting_flag())
    height, descent = font.get_width_height()[1] / 64, font.get_descent() / 64
    below = {"top": height - descent, "bottom": -descent, "center": height / 2 - descent}
    font.set_text(text, 0.0, flags=get_hinting_flag())
    font.draw_glyphs_to_bitmap(antialiased=True)
    letters = Image.fromarray(np.array(font.get_image()))
    width, offset = font.get_width_height()[0] / 64, font.get_bitmap_offset()[0] / 64
    return _Line(letters, width, font.get_descent() / 64, offset, below)


@lru_cache(4096)
def _has(path: str, letter: str) -> bool:
    return cast(int, get_font(path).get_char_index(ord(letter))) != 0
