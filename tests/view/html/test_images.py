"""A saved figure reads on a white page and on a dark one."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workbench.view.html.images import png, quick_png
from workbench.view.plot.primitives import MUTED, new_figure


def pixels() -> np.ndarray:
    figure, _ = new_figure(size=(300, 200))
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGBA"))


def luminance(colour: np.ndarray) -> float:
    shares = np.asarray(colour) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_it_stands_on_an_opaque_card_with_round_corners() -> None:
    found = pixels()
    assert found.shape == (200, 300, 4)
    assert [found[y, x, 3] for y in (0, -1) for x in (0, -1)] == [0] * 4
    assert (found[10:-10, :, 3] == 255).all()
    assert (found[:, 10:-10, 3] == 255).all()
    ground = found[20, 3, :3]
    assert (ground == ground[0]).all()
    assert 240 <= ground[0] < 255, "light, but no white slab"


def test_its_faintest_words_have_a_contrast_of_four_and_a_half_with_the_card() -> None:
    ink = np.array([int(MUTED[i : i + 2], 16) for i in (1, 3, 5)])
    ground = luminance(pixels()[20, 3, :3])
    assert (ground + 0.05) / (luminance(ink) + 0.05) >= 4.5


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31 - 1))
def test_a_quick_picture_has_the_same_pixels(width: int, height: int, seed: int) -> None:
    shades = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO(quick_png(Image.fromarray(shades)))
    assert (np.asarray(Image.open(file)) == shades).all()
