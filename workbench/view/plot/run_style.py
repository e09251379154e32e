"""The colour, dashes and mark of each run, the same in every drawing and in the table of runs."""

from __future__ import annotations

from dataclasses import dataclass

# Okabe and Ito 2008: told apart by colour-blind people.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
# Further colours are darker than theirs, so that each has a contrast of 3 against white; beside
# each stands the lighter one for a dark ground.
DARK = {
    BLUE: "#6cb8ee",
    ORANGE: "#ff9a57",
    GREEN: "#35c795",
    "#B8508C": "#ef9ccb",
    "#9A7400": "#e6c14a",
    "#6A4FB3": "#b8a4f5",
    "#5F5F5F": "#c4c4c4",
}
COLOURS = tuple(DARK)
DASHES: tuple[tuple[float, ...], ...] = ((), (4, 2), (9, 3), (9, 2, 3, 2), (14, 4))
QUANTITIES: tuple[tuple[float, ...], ...] = ((1, 1.5), (5, 1.5, 1, 1.5, 1, 1.5))
MARKS = (("o", "circle"), ("s", "square-open"), ("^", "triangle-up-open"), ("D", "diamond-open"))


@dataclass(frozen=True)
class RunStyle:
    """How a run is drawn.

    Attributes:
        colour: on a light ground.
        dark: on a dark ground.
        dash: lengths of strokes and gaps in multiples of the line's width; empty for a solid line.
        marker: of its held-out points, by matplotlib's name.
        symbol: the same by plotly's name.
        filled: whether the marker is; else it is hollow.
    """

    colour: str
    dark: str
    dash: tuple[float, ...]
    marker: str
    symbol: str
    filled: bool

    def dash_of(self, quantity: int) -> tuple[float, ...]:
        """The dashes of a panel's first, second or third quantity."""
        return self.dash if quantity == 0 else QUANTITIES[(quantity - 1) % len(QUANTITIES)]


def run_style(index: int) -> RunStyle:
    """The style of the run with this number, from 0; 140 runs differ in colour, dashes or mark.

    >>> run_style(0).colour, run_style(0).dash, run_style(1).dash
    ('#0072B2', (), (4, 2))
    """
    colour = COLOURS[index % len(COLOURS)]
    marker, symbol = MARKS[index % len(MARKS)]
    return RunStyle(
        colour, DARK[colour], DASHES[index % len(DASHES)], marker, symbol, filled=index == 0
    )
