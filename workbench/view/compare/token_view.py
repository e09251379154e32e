"""At which tokens two models differ, by how much, and which alternatives each preferred."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import ipywidgets as widgets
from torch import Tensor

from workbench.compare.model_handles import ModelHandle
from workbench.compare.tokens import PairTokens, TokenLogps, compare_tokens
from workbench.errors import WorkbenchError
from workbench.train.precision import is_large
from workbench.view.compare.logratio_lines import LogratioLines
from workbench.view.compare.sources import Sources, reference_and_policy, state_of
from workbench.view.compare.token_parts import (
    SHARE,
    SIDES,
    UNDER,
    alternatives_html,
    pair_html,
    token_strip,
    token_view,
)
from workbench.view.controls.explorer import Explorer, slider
from workbench.view.controls.fields import text_fields
from workbench.view.controls.number import NumberControl
from workbench.view.html.tokens import signed

CACHED = 16  # texts whose scores are kept, so that controls that score nothing answer at once


def explore_answer(source: Sources, prompt: str, text: str, token: int | None = None) -> Explorer:
    """Where policy and reference differ over an answer; prompt and answer can be typed.

    Args:
        source: a run or its folder, or two of what `open_handles` takes, the reference first.
        prompt, text: the texts to begin with.
        token: the one whose alternatives are shown first, from 1 on; left out: the one whose
            log-probability changed most.

    Raises:
        WorkbenchError: not two models. What is wrong with a typed text is shown instead.
    """
    two = reference_and_policy(source)
    score, tokenizer, lines = scorer(source, two), two[1].tokenizer, LogratioLines()

    def draw(prompt: str, text: str, token: int, below: str) -> str:
        tokens = score(prompt, text)
        at = min(token, len(tokens.ids)) - 1
        title = f"log-ratio {signed(tokens.total)} · under each token: {below}"
        strip = token_strip(tokens, tokenizer, title, UNDER[below](tokens), at)
        picture = lines.image({"answer": tokens.logratios}, 0, at)
        where = f"token {at + 1} of {len(tokens.ids)}"
        return token_view([strip], picture, alternatives_html(tokens, at, tokenizer, where))

    fields = text_fields(not is_large(two[1].model), prompt=prompt, text=text)
    slider = token_slider(token or largest_share(lambda: [score(prompt, text).logratios])[1])
    limit(slider, lambda: len(tokenizer.completion(fields["text"].value)), [fields["text"]])
    return Explorer(draw, **fields, token=slider, below=below_dropdown(UNDER))


def explore_pair(
    source: Sources,
    prompt: str,
    chosen: str,
    rejected: str,
    side: str | None = None,
    token: int | None = None,
) -> Explorer:
    """Which tokens make a pair's margin, and the alternatives to each; texts can be typed.

    Args:
        source: as for `explore_answer`.
        prompt, chosen, rejected: the texts to begin with.
        side, token: whose alternatives are shown first; tokens count from 1. Left out: the one
            with the largest share of the margin.

    Raises:
        WorkbenchError: as `explore_answer`.
    """
    two = reference_and_policy(source)
    score, tokenizer, lines = scorer(source, two), two[1].tokenizer, LogratioLines()

    def pair_of(prompt: str, chosen: str, rejected: str) -> PairTokens:
        return PairTokens(score(prompt, chosen), score(prompt, rejected))

    def draw(prompt: str, chosen: str, rejected: str, side: str, token: int, below: str) -> str:
        pair = pair_of(prompt, chosen, rejected)
        return pair_html(pair, tokenizer, lines, SIDES.index(side), token - 1, below)

    fields = text_fields(
        not is_large(two[1].model), prompt=prompt, chosen=chosen, rejected=rejected
    )
    found = largest_share(lambda: pair_of(prompt, chosen, rejected).shares, side)
    sides, slider = side_dropdown(SIDES[found[0]]), token_slider(token or found[1])
    limit(
        slider,
        lambda: len(tokenizer.completion(fields[sides.value].value)),
        [fields["chosen"], fields["rejected"], sides],
    )
    below = below_dropdown([*UNDER, SHARE])
    return Explorer(draw, **fields, side=sides, token=slider, below=below)


def scorer(
    source: Sources, handles: tuple[ModelHandle, ModelHandle]
) -> Callable[[str, str], TokenLogps]:
    """Scores (prompt, text), and caches the last ones while the models stay as they are."""
    tokenizer = handles[1].tokenizer

    @lru_cache(CACHED)
    def score(state: object, prompt: str, text: str) -> TokenLogps:
        return compare_tokens(*handles, tokenizer.render_prompt(prompt), tokenizer.completion(text))

    return lambda prompt, text: score(state_of(source), prompt, text)


def largest_share(
    shares: Callable[[], Iterable[Tensor]], side: str | None = None
) -> tuple[int, int]:
    """Side and token (from 1 on) of the largest share, of one side where it is given."""
    if side not in (None, *SIDES):
        raise WorkbenchError(f"side={side!r} is unknown; accepted: {', '.join(SIDES)}")
    only = None if side is None else SIDES.index(side)
    try:
        largest = [
            (share.abs().max().item(), index, int(share.abs().argmax()) + 1)
            for index, share in enumerate(shares())
            if only in (None, index)
        ]
    except WorkbenchError:  # which the explorer shows
        return only or 0, 1
    return max(largest)[1:]


def token_slider(token: int) -> NumberControl:
    """Chooses a token; `limit` sets how many there are."""
    return slider(token, 1, max(1, token), 1, "token")


def side_dropdown(side: str) -> widgets.Dropdown:
    """Chosen or rejected."""
    return widgets.Dropdown(options=SIDES, value=side, description="of the")


def below_dropdown(names: Iterable[str]) -> widgets.Dropdown:
    """Which numbers stand under the tokens."""
    return widgets.Dropdown(options=list(names), description="under the tokens")


def limit(tokens: NumberControl, count: Callable[[], int], when: Sequence[widgets.Widget]) -> None:
    """Let a slider end at `count`, now and whenever one of `when` has changed.

    To be called before an Explorer takes the widgets: then the slider is right when it draws.
    """

    def change(_: object = None) -> None:
        tokens.max = max(1, count())

    for widget in when:
        widget.observe(change, "value")
    change()
