"""At which tokens two models differ, by how much, and what else they would have written there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import ipywidgets as widgets
from torch import Tensor

from workbench.compare.model_handles import ModelHandle
from workbench.compare.open_handles import Source, open_handles
from workbench.compare.tokens import PairTokens, TokenLogps, compare_tokens
from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.train.precision import is_large
from workbench.view.compare.token_parts import (
    SHARE,
    UNDER,
    Lines,
    pair_html,
    place_html,
    token_strip,
)
from workbench.view.controls.explorer import Explorer
from workbench.view.html.elements import error_card
from workbench.view.html.tokens import signed

SIDES = ("chosen", "rejected")
REMEMBERED = 16  # texts whose scores are kept, so that controls that score nothing answer at once
Answering: TypeAlias = Run | Path | str | Sequence[ModelHandle] | Mapping[str, Source]


def explore_answer(source: Answering, prompt: str, text: str, token: int | None = None) -> Explorer:
    """Where policy and reference differ over an answer; prompt and answer can be typed.

    Args:
        source: a run or its folder, or two of what `open_handles` takes, the reference first.
        prompt, text: the texts to begin with.
        token: the one whose alternatives are shown first, from 1 on; left open: the one whose
            log-probability changed most.

    Raises:
        WorkbenchError: not two models. What is wrong with a typed text is shown instead.
    """
    two = asked(source)
    score, tokenizer, lines = scorer(source, two), two[1].tokenizer, Lines()

    def draw(prompt: str, text: str, token: int, below: str) -> str:
        try:
            tokens = score(prompt, text)
        except WorkbenchError as error:
            return error_card(error)
        at = min(token, len(tokens.ids)) - 1
        title = f"log-ratio {signed(tokens.total)} · under each token: {below}"
        strip = token_strip(tokens, tokenizer, title, UNDER[below](tokens), at)
        picture = lines.image({"answer": tokens.logratios}, 0, at)
        choices = place_html(tokens, at, tokenizer, f"token {at + 1} of {len(tokens.ids)}")
        return f'<div class="wb-token-view">{strip}{picture}{choices}</div>'

    fields = text_fields(two[1], prompt=prompt, text=text)
    first = token or first_place(lambda: [score(prompt, text).logratios])[1]
    slider = token_slider(first)
    fit(slider, lambda: len(tokenizer.completion(fields["text"].value)), [fields["text"]])
    return Explorer(draw, **fields, token=slider, below=below_dropdown(UNDER))


def explore_pair(
    source: Answering,
    prompt: str,
    chosen: str,
    rejected: str,
    side: str | None = None,
    token: int | None = None,
) -> Explorer:
    """Which tokens make a pair's margin, and what else stood to choose; texts can be typed.

    Args:
        source: as for `explore_answer`.
        prompt, chosen, rejected: the texts to begin with.
        side, token: whose alternatives are shown first; tokens count from 1. Left open: the one
            with the largest share of the margin.

    Raises:
        WorkbenchError: as `explore_answer`.
    """
    two = asked(source)
    score, tokenizer, lines = scorer(source, two), two[1].tokenizer, Lines()

    def pair_of(prompt: str, chosen: str, rejected: str) -> PairTokens:
        return PairTokens(score(prompt, chosen), score(prompt, rejected))

    def draw(prompt: str, chosen: str, rejected: str, side: str, token: int, below: str) -> str:
        try:
            pair = pair_of(prompt, chosen, rejected)
        except WorkbenchError as error:
            return error_card(error)
        return pair_html(pair, tokenizer, lines, SIDES.index(side), token - 1, below)

    fields = text_fields(two[1], prompt=prompt, chosen=chosen, rejected=rejected)
    found = first_place(lambda: pair_of(prompt, chosen, rejected).shares, side)
    sides, slider = side_dropdown(SIDES[found[0]]), token_slider(token or found[1])
    fit(
        slider,
        lambda: len(tokenizer.completion(fields[sides.value].value)),
        [fields["chosen"], fields["rejected"], sides],
    )
    below = below_dropdown([*UNDER, SHARE])
    return Explorer(draw, **fields, side=sides, token=slider, below=below)


def asked(source: Answering) -> tuple[ModelHandle, ModelHandle]:
    """Reference and policy.

    Raises:
        WorkbenchError: one model alone, or more than two.
    """
    found = open_handles(source)
    if len(found) != 2:
        names = ", ".join(handle.name for handle in found)
        raise WorkbenchError(f"{names}: two are compared here, a reference and a policy")
    return found[0], found[1]


def scorer(
    source: Answering, handles: tuple[ModelHandle, ModelHandle]
) -> Callable[[str, str], TokenLogps]:
    """Scores (prompt, text), and remembers the last ones while the models stay as they are."""
    tokenizer = handles[1].tokenizer

    @lru_cache(REMEMBERED)
    def score(state: object, prompt: str, text: str) -> TokenLogps:
        ids = tokenizer.render_prompt(prompt), tokenizer.completion(text)
        return compare_tokens(*handles, *ids)

    return lambda prompt, text: score(state_of(source), prompt, text)


def state_of(source: Answering) -> object:
    """What changes when a run goes on, so that nothing old is shown."""
    return (source.step, source.settings.beta) if isinstance(source, Run) else None


def first_place(shares: Callable[[], Iterable[Tensor]], side: str | None = None) -> tuple[int, int]:
    """Side and token (from 1 on) of the largest share, of one side where it is given."""
    if side not in (None, *SIDES):
        raise WorkbenchError(f"side={side!r} is unknown; accepted: {', '.join(SIDES)}")
    only = None if side is None else SIDES.index(side)
    try:
        largest = [
            (share.abs().max().item(), place, int(share.abs().argmax()) + 1)
            for place, share in enumerate(shares())
            if only in (None, place)
        ]
    except WorkbenchError:  # which the explorer shows
        return only or 0, 1
    return max(largest)[1:]


def text_fields(policy: ModelHandle, **texts: str) -> dict[str, widgets.Textarea]:
    """Fields to type in; a large model answers when the field is left, not at every letter."""
    at_once, auto = not is_large(policy.model), widgets.Layout(width="auto")
    return {
        name: widgets.Textarea(
            value=text, description=name, rows=1, layout=auto, continuous_update=at_once
        ).add_class("wb-wide")
        for name, text in texts.items()
    }


def token_slider(token: int) -> widgets.IntSlider:
    """Chooses a token; `fit` says how many there are."""
    return widgets.IntSlider(value=token, min=1, max=max(1, token), description="token")


def side_dropdown(side: str) -> widgets.Dropdown:
    """Chosen or rejected."""
    return widgets.Dropdown(options=SIDES, value=side, description="of the")


def below_dropdown(names: Iterable[str]) -> widgets.Dropdown:
    """What stands under the tokens."""
    return widgets.Dropdown(options=list(names), description="under the tokens")


def fit(
    slider: widgets.IntSlider, count: Callable[[], int], when: Sequence[widgets.Widget]
) -> None:
    """Let a slider end at `count`, now and whenever one of `when` has changed.

    To be called before an Explorer takes the widgets: then the slider is right when it draws.
    """

    def change(_: object = None) -> None:
        slider.max = max(1, count())

    for widget in when:
        widget.observe(change, "value")
    change()
