"""Where the probability went that a chosen completion lost: token by token, and text by text."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import ipywidgets as widgets
from torch import Tensor

from workbench.compare.probability_mass import (
    Continuation,
    ProbabilityMass,
    find_probability_mass,
    remaining_mass,
)
from workbench.compare.tokens import Position, TokenLogps, compare_tokens
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.view.compare.token_parts import (
    QUIET,
    chance,
    change,
    line_of,
    place_table,
    table_of,
    tinted,
    token_strip,
)
from workbench.view.compare.token_view import Answering, asked, first_place, state_of, token_slider
from workbench.view.controls.explorer import Explorer
from workbench.view.html.elements import error_card, escape
from workbench.view.html.tokens import signed, visible

GAINERS = 3  # tokens that gained most, listed at each place
PAGE = 16  # places listed at a time
MOST_MOVED = 5  # tokens that gained, and as many that lost, at one place
MOST_TEXTS = 10  # drawn completions that are listed
SEEDS = 1000


def explore_probability_mass(
    source: Answering,
    prompt: str,
    chosen: str,
    rejected: str,
    draws: int = 64,
    max_new_tokens: int = 48,
    seed: int = 0,
) -> Explorer:
    """What gained where the chosen completion lost: other tokens at each place, and other texts.

    Args:
        source: a run or its folder, or two of what `open_handles` takes, the reference first.
        prompt, chosen, rejected: texts of a pair.
        draws: completions that the policy writes, at temperature 1.
        max_new_tokens: where a drawn completion is cut.
        seed: of the draws; there is a control for it.

    Raises:
        WorkbenchError: not two models, or a text that can't be scored.
    """
    reference, policy = asked(source)
    tokenizer = policy.tokenizer
    ids = tokenizer.render_prompt(prompt)
    sides = tokenizer.completion(chosen), tokenizer.completion(rejected)

    @lru_cache(2)
    def score(state: object) -> TokenLogps:
        return compare_tokens(reference, policy, ids, sides[0])

    @lru_cache(4)
    def draw_texts(state: object, seed: int) -> ProbabilityMass:
        sampling = SamplingConfig(max_new_tokens=max_new_tokens, seed=seed)
        return find_probability_mass(reference, policy, ids, *sides, draws, sampling)

    def draw(token: int, seed: int) -> str:
        state = state_of(source)
        try:
            tokens, mass = score(state), draw_texts(state, seed)
        except WorkbenchError as error:
            return error_card(error)
        parts = tokens_html(tokens, tokenizer, token - 1), mass_html(mass, tokenizer)
        return f'<div class="wb-mass">{"".join(parts)}</div>'

    slider = token_slider(first_place(lambda: [changes_of(score(state_of(source)))])[1])
    slider.max = len(sides[0])
    box = widgets.BoundedIntText(value=seed, min=0, max=max(SEEDS, seed), description="seed")
    return Explorer(draw, token=slider, seed=box)


def changes_of(tokens: TokenLogps) -> Tensor:
    """(token,) the policy's probability of each token minus the reference's."""
    return tokens.policy.exp() - tokens.reference.exp()


def tokens_html(tokens: TokenLogps, tokenizer: Tokenizer, at: int) -> str:
    """Each place of the chosen completion with what gained there; the place `at` in full."""
    at, total = min(at, len(tokens.ids) - 1), tokens.total
    fell = "fell" if total < 0 else "rose" if total > 0 else "stayed as it was"
    factor = "" if not total else f" by a factor of {_factor(abs(total))}"
    head = (
        f'<h4 style="{QUIET}; margin: 8px 0 4px">At each token of the chosen completion</h4>'
        f'<p style="{QUIET}">Its log-ratio is {signed(total)}: its probability {fell}{factor}. '
        "A change is the policy's probability minus the reference's, given the same tokens before "
        "it; over the whole vocabulary the changes at one token add up to 0.</p>"
    )
    changes = changes_of(tokens)
    title = "chosen · under each token: change of its probability"
    strip = token_strip(tokens, tokenizer, title, changes, at)
    first = at - at % PAGE
    page = list(enumerate(tokens.positions))[first : first + PAGE]
    body = "".join(_gainers(number, place, tokenizer, number == at) for number, place in page)
    titles = ("token", "change", "gained most there", "second", "third")
    return head + strip + table_of(titles, body, "wb-gainers") + _in_full(tokens, tokenizer, at)


def _factor(nats: float) -> str:
    return f"{math.exp(nats):.3g}" if nats < 20 else f"e^{nats:.0f}"


def _gainers(number: int, place: Position, tokenizer: Tokenizer, mine: bool) -> str:
    """A line of the table: the token, its change, and the tokens that gained most in its place."""
    gained = [spot for spot in place.moved(GAINERS + 1) if spot != place.token_index][:GAINERS]
    names = tokenizer.tokens([place.token, *place.ids[gained].tolist()])
    words = [f"<bdi>{visible(name)}</bdi>" for name in names]
    cells = [
        f"{word} {tinted(by)}"
        for word, by in zip(words[1:], place.changes[gained].tolist(), strict=True)
    ]
    cells += ["–"] * (GAINERS - len(cells))
    first = f"▶ <b>{number + 1}. {words[0]}</b>" if mine else f"{number + 1}. {words[0]}"
    return line_of(first, tinted(place.changes[place.token_index].item()), *cells)


def _in_full(tokens: TokenLogps, tokenizer: Tokenizer, at: int) -> str:
    """What gained and what lost at one place, most first, with all else in one line."""
    place = tokens.positions[at]
    moved = {*place.moved(MOST_MOVED), *place.moved(MOST_MOVED, sign=-1), place.token_index}
    ranked = sorted(moved, key=lambda spot: -place.changes[spot].item())
    told = (
        f"Token {at + 1} of {len(tokens.ids)} of the chosen: what gained most and what lost most "
        "there. With the last line each column of probabilities adds up to 1, and the changes to 0."
    )
    return f'<p style="{QUIET}; margin: 12px 0 4px">{told}</p>' + place_table(
        place, ranked, tokenizer
    )


def mass_html(mass: ProbabilityMass, tokenizer: Tokenizer) -> str:
    """The pair's completions and those that gained most, with the probability of all others."""
    drawn = [row for row in mass.rows if not row.name]
    rows = [row for row in mass.rows if row.name] + drawn[:MOST_TEXTS]
    body = "".join(_text_line(row, tokenizer) for row in rows)
    rest = remaining_mass(replace(mass, rows=tuple(rows)).exclusive)
    others = ("", chance(rest.policy), chance(rest.reference), tinted(rest.change), "", "")
    body += line_of("<i>all other completions</i>", *others)
    titles = (
        "completion", f"drawn, of {mass.draws}", "policy", "reference", "change", "log-ratio",
        "gain, nats",
    )  # fmt: skip
    return _told(mass, len(drawn)) + table_of(titles, body, "wb-texts")


def _told(mass: ProbabilityMass, others: int) -> str:
    """What the numbers of the table are."""
    error = "" if math.isnan(mass.error) else f" ± {mass.error:.2f}"
    return (
        f'<h4 style="{QUIET}; margin: 18px 0 4px">Over whole completions</h4>'
        f'<p style="{QUIET}">The policy wrote {mass.draws} completions at temperature 1, {others} '
        "different ones besides those of the pair. Each has its probability under both models, "
        "the end of sequence included; one that was cut (…) stands for all that begin like it. "
        "The gain is the policy's probability times the log-ratio; summed over all completions "
        "that there are, it is KL(policy ∥ reference). The completions with the largest gain come "
        f"first. KL estimated from all draws: {mass.kl:.2f}{error} nats.</p>"
    )


def _text_line(row: Continuation, tokenizer: Tokenizer) -> str:
    text = f"<bdi>{escape(tokenizer.decode(row.ids)) or '<i>(empty)</i>'}</bdi>"
    name = f"<b>{row.name}:</b> " if row.name else ""
    return line_of(
        f"{name}{text}{'' if row.ended else ' …'}", str(row.drawn), chance(math.exp(row.policy)),
        chance(math.exp(row.reference)), tinted(row.change), signed(row.logratio),
        change(row.gain),
    )  # fmt: skip
