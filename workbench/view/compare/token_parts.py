"""What the token views are made of: strips, the choices at one place, the line of log-ratios."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator
from torch import Tensor

from workbench.compare.tokens import PairTokens, Position, TokenLogps
from workbench.data.tokenizer import Tokenizer
from workbench.view.html.elements import escape
from workbench.view.html.tokens import CELL, Strip, draw_strip, signed, visible
from workbench.view.lessons.policies import name_lines, write_above
from workbench.view.plot.layers import Layers
from workbench.view.plot.primitives import (
    BLUE,
    INK,
    ORANGE,
    draw_guide,
    move_line,
    name_axes,
    new_figure,
    widened,
)

QUIET = "line-height: 1.5; font-size: 13px"
NUMBER = f"{CELL}; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap"
HEAD = f"{CELL}; text-align: right; vertical-align: bottom"
UP, DOWN = "0, 114, 178", "213, 94, 0"  # blue and orange
WIDEST = 70  # pixels of a bar for a probability of 1
LEAST_MARGIN = 0.05  # nats; shares of less are not given in percent
LEAST_WRITTEN = 0.001  # a smaller probability is written with its power of ten
SHOWN = 6  # alternatives of either model

UNDER: dict[str, Callable[[TokenLogps], Tensor]] = {
    "log-ratio": lambda tokens: tokens.logratios,
    "log-ratio so far": lambda tokens: tokens.logratios.cumsum(0),
    "policy's log-probability": lambda tokens: tokens.policy,
    "reference's log-probability": lambda tokens: tokens.reference,
}
SHARE = "share of the margin"  # a token's sign then depends on the side


def chance(probability: float) -> str:
    """A probability as text, however small.

    >>> chance(0.25), chance(0.0123), chance(0.00002), chance(0.0)
    ('0.250', '0.012', '2.0e−05', '0')
    """
    if probability == 0:
        return "0"
    form = ".3f" if probability >= 0.1 else "#.2g" if probability >= LEAST_WRITTEN else ".1e"
    return f"{probability:{form}}".replace("-", "−")


def change(by: float) -> str:
    """A change of probability with its sign, however small.

    >>> change(0.25), change(-0.00002), change(0.0)
    ('+0.250', '−2.0e−05', '0')
    """
    return ("+" if by > 0 else "−" if by < 0 else "") + chance(abs(by))


def token_strip(
    tokens: TokenLogps,
    tokenizer: Tokenizer,
    title: str,
    values: Tensor,
    at: int | None,
    largest: float | None = None,
) -> str:
    """The tokens of a completion as HTML, `values` (token,) under them, the one `at` marked."""
    strip = Strip(tokenizer.tokens(tokens.ids), roles(tokens.ids, tokenizer), [True] * len(values))
    return draw_strip(strip, title, values.tolist(), at, largest)


def roles(ids: Sequence[int], tokenizer: Tokenizer) -> list[str]:
    """What each token of a completion is; only the last one can be its end."""
    ended = ids[-1] == tokenizer.eos_id
    return ["completion"] * (len(ids) - ended) + ["end"] * ended


def pair_html(
    pair: PairTokens, tokenizer: Tokenizer, lines: Lines, side: int, at: int, below: str
) -> str:
    """Both strips, the line of the log-ratios, and the choices at one token."""
    sides, names = (pair.chosen, pair.rejected), ("chosen", "rejected")
    values = pair.shares if below == SHARE else [UNDER[below](tokens) for tokens in sides]
    at = min(at, len(sides[side].ids) - 1)
    largest = max(value.abs().max().item() for value in values)
    strips = [
        token_strip(
            tokens,
            tokenizer,
            f"{name}, log-ratio {signed(tokens.total)} · under each token: {below}",
            value,
            at if place == side else None,
            largest,
        )
        for place, (name, tokens, value) in enumerate(zip(names, sides, values, strict=True))
    ]
    told = (
        f"margin {signed(pair.margin)} nats = chosen {signed(pair.chosen.total)} "
        f"minus rejected {signed(pair.rejected.total)}"
    )
    picture = lines.image({n: t.logratios for n, t in zip(names, sides, strict=True)}, side, at)
    share = pair.shares[side][at].item()
    of_margin = f"share of the margin {signed(share)} of {signed(pair.margin)}"
    if abs(pair.margin) >= LEAST_MARGIN:
        of_margin += f" ({share / pair.margin:.0%})".replace("-", "−")
    where = f"token {at + 1} of {len(sides[side].ids)} of the {names[side]}"
    choices = place_html(sides[side], at, tokenizer, where, of_margin)
    head = f'<p class="wb-margin" style="{QUIET}"><b>{told}</b></p>'
    return f'<div class="wb-token-view">{head}{"".join(strips)}{picture}{choices}</div>'


def place_html(
    tokens: TokenLogps, at: int, tokenizer: Tokenizer, where: str, more: str = ""
) -> str:
    """What both models expected where a token stands: a sentence with its numbers, and a table."""
    place, here = tokens.positions[at], tokens.positions[at].token_index
    policy, reference = place.policy[here].item(), place.reference[here].item()
    word = f"<bdi>{visible(tokenizer.tokens([place.token])[0])}</bdi>"
    so_far = tokens.logratios[: at + 1].sum().item()
    told = (
        f"{escape(where[0].upper() + where[1:])}, <b>{word}</b>: log-probability {signed(policy)} "
        f"under the policy (rank {place.ranks[0]}), {signed(reference)} under the reference "
        f"(rank {place.ranks[1]}); log-ratio {signed(policy - reference)}, so far {signed(so_far)}"
    )
    told += f"; {escape(more)}" if more else ""
    table = place_table(place, place.likely(SHOWN), tokenizer)
    return f'<p style="{QUIET}; margin: 8px 0 4px">{told}.</p>{table}'


def place_table(place: Position, shown: Sequence[int], tokenizer: Tokenizer) -> str:
    """Tokens that could stand at a place, with both probabilities, as an HTML table.

    `shown` are places in `place.ids`. The last line holds all other tokens together, so that each
    column of probabilities adds up to 1 and the changes to 0.
    """
    ours, theirs = place.policy.exp(), place.reference.exp()
    names = tokenizer.tokens(place.ids[list(shown)].tolist())
    body = ""
    for spot, name in zip(shown, names, strict=True):
        word, ratio = f"<bdi>{visible(name)}</bdi>", (place.policy - place.reference)[spot].item()
        mine = spot == place.token_index
        body += _choice(
            f"▶ <b>{word}</b>" if mine else word, ours[spot].item(), theirs[spot].item(),
            signed(ratio),
        )  # fmt: skip
    hidden = [spot for spot in range(len(place.ids)) if spot not in set(shown)]
    count = place.others + len(hidden)
    if count:
        ours_left = ours[hidden].sum().item() + place.rest[0]
        theirs_left = theirs[hidden].sum().item() + place.rest[1]
        words = "1 other token" if count == 1 else f"{count:,} other tokens"
        body += _choice(f"<i>{words}</i>", ours_left, theirs_left, "")
    titles = ("token", "policy", "reference", "change", "log-ratio")
    return table_of(titles, body, "wb-choices")


def table_of(titles: Sequence[str], body: str, name: str) -> str:
    """An HTML table whose first column holds texts, the others numbers."""
    head = "".join(
        f'<th style="{HEAD if place else CELL}">{escape(title)}</th>'
        for place, title in enumerate(titles)
    )
    return (
        f'<table class="{name}" style="border-collapse: collapse; {QUIET}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def line_of(first: str, *numbers: str) -> str:
    """A line of `table_of`; what comes in is HTML."""
    cells = "".join(f'<td style="{NUMBER}">{number}</td>' for number in numbers)
    return f'<tr style="background: none"><td style="{CELL}">{first}</td>{cells}</tr>'


def _choice(word: str, ours: float, theirs: float, ratio: str) -> str:
    return line_of(
        word, _bar(ours, UP) + chance(ours), _bar(theirs, "128, 128, 128") + chance(theirs),
        tinted(ours - theirs), ratio,
    )  # fmt: skip


def _bar(probability: float, colour: str) -> str:
    width = round(WIDEST * probability)
    look = f"display: inline-block; width: {width}px; height: 9px; margin-right: 6px"
    return f'<span style="{look}; background: rgba({colour}, 0.55)"></span>' if width else ""


def tinted(by: float) -> str:
    """A change of probability as HTML, on blue where it is a gain, on orange where a loss."""
    colour, strength = (UP if by > 0 else DOWN), 0.1 + 0.4 * min(1.0, abs(by))
    ground = f"background: rgba({colour}, {strength:.2f})" if abs(by) >= LEAST_WRITTEN else ""
    return f'<span style="padding: 0 3px; {ground}">{change(by)}</span>'


class Lines:
    """The log-ratios of one or two completions, summed up to each token, as a picture."""

    LOOKS: tuple[dict[str, Any], ...] = (
        {"color": BLUE, "linestyle": "-"},
        {"color": ORANGE, "linestyle": (0, (5, 2))},
    )

    def __init__(self) -> None:
        self.figure, (self.axes,) = new_figure(1, (940, 290))
        self.figure.subplots_adjust(0.075, 0.15, 0.9, 0.8)
        name_axes(self.axes, "", "tokens read", "nats")
        draw_guide(self.axes, 0.0)
        self.axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        self._layers = Layers(self.figure)

    def image(self, logratios: Mapping[str, Tensor], side: int, at: int) -> str:
        """An <img> with a line a completion by name; a dot where `at` of this side stands."""
        curves = {name: [0.0, *values.cumsum(0).tolist()] for name, values in logratios.items()}
        heights = [height for curve in curves.values() for height in curve]
        longest = max(map(len, curves.values())) - 1
        low, high = widened(None, min(heights), max(heights))
        self.axes.set(xlim=(0, longest), ylim=(low, high))
        ends = {}
        for (name, curve), look in zip(curves.items(), self.LOOKS, strict=False):
            move_line(self.axes, name, range(len(curve)), curve, linewidth=1.8, **look)
            ends[name] = (curve[-1], look["color"])
        name_lines(self.axes, ends)
        name, curve = list(curves.items())[side]
        look = {"color": INK, "linewidth": 0.9, "linestyle": ":"}
        move_line(self.axes, "here", [at + 1] * 2, [low, high], **look)
        move_line(self.axes, "dot", [at + 1], [curve[at + 1]], marker="o", color=INK, markersize=6)
        totals = "   ".join(f"{name} {signed(curve[-1])}" for name, curve in curves.items())
        told = f"all tokens: {totals}   ● {name} up to token {at + 1}: {signed(curve[at + 1])}"
        title = "Log-ratio so far: policy minus reference, summed over the tokens read"
        write_above(self.figure, title, told)
        data = base64.b64encode(self._layers.png()).decode()
        alt = escape(f"{title}; {told}")
        return f'<img alt="{alt}" style="max-width: 100%" src="data:image/png;base64,{data}">'
