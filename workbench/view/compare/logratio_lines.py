"""The log-ratios of one or two completions, summed up to each token, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.ticker import MaxNLocator
from torch import Tensor

from workbench.view.html.images import image
from workbench.view.html.tokens import signed
from workbench.view.lessons.policies import name_lines, write_above
from workbench.view.plot import primitives
from workbench.view.plot.layers import Layers
from workbench.view.plot.primitives import BLUE, INK, ORANGE, move_line

LOOKS: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "linestyle": "-"},
    {"color": ORANGE, "linestyle": (0, (5, 2))},
)
TITLE = "Log-ratio so far: policy minus reference, summed over the tokens read"


class LogratioLines:
    """Draws one line per completion, again and again on the same figure."""

    def __init__(self) -> None:
        self.figure, (self.axes,) = primitives.new_figure(1, (940, 290))
        self.figure.subplots_adjust(0.075, 0.15, 0.9, 0.8)
        primitives.name_axes(self.axes, "", "tokens read", "nats")
        primitives.draw_guide(self.axes, 0.0)
        self.axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        self._layers = Layers(self.figure)

    def image(self, logratios: Mapping[str, Tensor], side: int, at: int) -> str:
        """An <img> of the completions by name, (token,) each; a dot at token `at` of one side."""
        curves = {name: [0.0, *values.cumsum(0).tolist()] for name, values in logratios.items()}
        heights = [height for curve in curves.values() for height in curve]
        longest = max(map(len, curves.values())) - 1
        low, high = primitives.widened(None, min(heights), max(heights))
        self.axes.set(xlim=(0, longest), ylim=(low, high))
        ends = {}
        for (name, curve), look in zip(curves.items(), LOOKS, strict=False):
            move_line(self.axes, name, range(len(curve)), curve, linewidth=1.8, **look)
            ends[name] = (curve[-1], look["color"])
        name_lines(self.axes, ends)
        name, curve = list(curves.items())[side]
        look = {"color": INK, "linewidth": 0.9, "linestyle": ":"}
        move_line(self.axes, "here", [at + 1] * 2, [low, high], **look)
        move_line(self.axes, "dot", [at + 1], [curve[at + 1]], marker="o", color=INK, markersize=6)
        totals = "   ".join(f"{name} {signed(curve[-1])}" for name, curve in curves.items())
        numbers = f"all tokens: {totals}   ● {name} up to token {at + 1}: {signed(curve[at + 1])}"
        write_above(self.figure, TITLE, numbers)
        return image(self._layers.png(), f"{TITLE}; {numbers}", style="max-width: 100%")
