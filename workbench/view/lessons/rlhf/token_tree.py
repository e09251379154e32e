"""A tree of tokens with the implicit reward of each, and one completion token by token."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from ipywidgets import Dropdown
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from workbench.core.tabular import TokenTree
from workbench.view.controls.explorer import Explorer, beta_slider
from workbench.view.lessons import policies
from workbench.view.plot.primitives import (
    BROWN,
    INK,
    MUTED,
    SKY,
    move_line,
    move_texts,
    name_axes,
    new_figure,
)

COLOURS = LinearSegmentedColormap.from_list("advantages", [BROWN, "#dddddd", SKY])
LETTER = 0.075  # width of a letter, in the axis's unit


def explore_token_tree(
    tree: TokenTree | None = None, beta: float = 0.5, completion: str | None = None
) -> Explorer:
    """Left beta log(pi* / pi_ref) of every token of the tree; right one completion.

    Args:
        completion: one of `tree.completions`, where the menu starts; left open, the first.
    """
    tree = tree or TokenTree.example()
    depth = len(tree.rewards)
    figure, (axes, bars) = new_figure(2, (940, 560))
    axes.set_position((0.03, 0.03, 0.43, 0.79))
    bars.set_position((0.56, 0.1, 0.42, 0.68))
    prefixes, edges = _draw_tree(axes, tree)
    rows = [f"token {t + 1}" for t in range(depth)]
    title = "Reward (solid) and implicit reward (crossed)"
    policies.name_rows(bars, rows, title, "reward")
    bars.set_xlim(-4.5, 3.5)
    bars.axvline(0, color=MUTED, linewidth=0.8)

    def draw(beta: float, completion: str) -> Figure:
        advantages, (_, values) = tree.advantages(beta), tree.values(beta)
        edges.set_array(np.array([advantages[len(p) - 1][p].item() for p in prefixes]))
        whole = tree.path(completion)
        path = [whole[: t + 1] for t in range(depth)]
        move_line(axes, "path", range(depth + 1), [_height(tree, p) for p in ((), *path)],
                  color=INK, linewidth=5, alpha=0.25, zorder=1)  # fmt: skip
        earned, implied = (
            torch.stack([table[p] for table, p in zip(tables, path, strict=True)])
            for tables in (tree.rewards, advantages)
        )
        looks = policies.FROM_REWARD, policies.FROM_OPTIMUM
        policies.draw_pair(bars, earned, implied, looks, "{:+.2f}")
        spots = [(-4.3, height) for height in policies.row_heights(depth)]
        move_texts(bars, "words", spots, [tree.tokens[token] for token in whole], **policies.SMALL)
        policies.write_above(
            figure, "Implicit reward of every token: beta · log(π* / π_ref) = Q* − V*",
            f"beta {beta:.3g}   {completion}: reward {earned.sum():+.2f}   V*(root) "
            f"{values[0]:+.2f}   sum of implicit rewards {implied.sum():+.2f}, the difference",
        )  # fmt: skip
        return figure

    names = tree.completions
    menu = Dropdown(options=names, value=completion or names[0], description="completion")
    return Explorer(draw, beta=beta_slider(beta), completion=menu)


def _draw_tree(axes: Axes, tree: TokenTree) -> tuple[list[tuple[int, ...]], LineCollection]:
    """Its edges, one for each prefix, to be coloured; names of tokens stand at their ends."""
    depth, vocab = len(tree.rewards), range(len(tree.tokens))
    prefixes = [p for t in range(depth) for p in product(vocab, repeat=t + 1)]
    ends = [_between(tree, prefix) for prefix in prefixes]
    edges = LineCollection(ends, cmap=COLOURS, linewidths=2.2, gid="edges", zorder=2)
    edges.set_clim(-2, 2)
    axes.add_collection(edges)
    for prefix in prefixes:
        place, name = (len(prefix), _height(tree, prefix)), tree.tokens[prefix[-1]]
        axes.text(*place, name, gid="token", **policies.SMALL)  # drawn anew over the path
    axes.set_xlim(-0.1, depth + 0.35)
    axes.set_ylim(-0.5, len(vocab) ** depth - 0.5)
    axes.set_axis_off()
    name_axes(axes, "Light blue: above 0, brown: below, grey: near 0")
    return prefixes, edges


def _between(tree: TokenTree, prefix: tuple[int, ...]) -> list[tuple[float, float]]:
    """The ends of an edge, from behind the name of a token to the next name."""
    places = [len(prefix) - 1, len(prefix)]
    name = LETTER * max(map(len, tree.tokens)) if len(prefix) > 1 else 0.0
    heights = [_height(tree, prefix[:-1]), _height(tree, prefix)]
    right = places[1] - LETTER
    left = min(places[0] + name, right)  # a long name reaches the next one
    return [(x, float(np.interp(x, places, heights))) for x in (right, left)]


def _height(tree: TokenTree, prefix: tuple[int, ...]) -> float:
    """Of the end of a prefix: in the middle of its completions, the first of which is on top."""
    below = len(tree.tokens) ** (len(tree.rewards) - len(prefix))
    index = 0
    for token in prefix:
        index = index * len(tree.tokens) + token
    return len(tree.tokens) ** len(tree.rewards) - 1 - (index * below + (below - 1) / 2)
