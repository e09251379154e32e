"""A saved figure reads on a white page and on a dark one."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from workbench.view.html.images import png
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
