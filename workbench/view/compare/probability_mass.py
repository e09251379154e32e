"""Which tokens and texts gained the probability that a chosen completion lost."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from torch import Tensor

from workbench.compare.probability_mass import (
    Continuation,
    ProbabilityMass,
    find_probability_mass,
    remaining_mass,
)
from workbench.compare.tokens import Position, TokenLogps, compare_tokens
from workbench.data.tokenizer import Tokenizer
from workbench.generation.config import SamplingConfig
from workbench.view.compare.sources import Sources, reference_and_policy, state_of
from workbench.view.compare.token_parts import (
    alternatives_table,
    change,
    number_table,
    numbered,
    probability,
    tinted,
    token_strip,
)
from workbench.view.compare.token_view import largest_share, token_slider
from workbench.view.controls.explorer import Explorer
from workbench.view.controls.fields import number
from workbench.view.html.render import Html, render
from workbench.view.html.tokens import signed, visible

GAINERS = 3  # tokens that gained most, listed at each position
PAGE = 16  # positions listed at a time
MOST_MOVED = 5  # tokens that gained, and as many that lost, at one position
MOST_TEXTS = 10  # drawn completions that are listed
SEEDS = 1000


def explore_probability_mass(
    source: Sources,
    prompt: str,
    chosen: str,
    rejected: str,
    draws: int = 64,
    max_new_tokens: int = 48,
    seed: int = 0,
) -> Explorer:
    """What gained where the chosen completion lost: other tokens at each position, and other texts.

    Args:
        source: a run or its folder, or two of what `open_handles` takes, the reference first.
        prompt, chosen, rejected: texts of a pair.
        draws: completions that the policy writes, at temperature 1.
        max_new_tokens: where a drawn completion is cut.
        seed: of the draws; there is a control for it.

    Raises:
        WorkbenchError: not two models, or a text that can't be scored.
    """
    reference, policy = reference_and_policy(source)
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
        tokens, mass = score(state), draw_texts(state, seed)
        parts = [tokens_html(tokens, tokenizer, token - 1), mass_html(mass, tokenizer)]
        return render("probability_mass", parts=parts)

    slider = token_slider(largest_share(lambda: [changes_of(score(state_of(source)))])[1])
    slider.max = len(sides[0])
    box = number(seed, 0, SEEDS, whole=True, description="seed")
    return Explorer(draw, token=slider, seed=box)


def changes_of(tokens: TokenLogps) -> Tensor:
    """(token,) the policy's probability of each token minus the reference's."""
    return tokens.policy.exp() - tokens.reference.exp()


def tokens_html(tokens: TokenLogps, tokenizer: Tokenizer, at: int) -> Html:
    """Each position of the chosen completion with what gained there; position `at` in full."""
    at, total = min(at, len(tokens.ids) - 1), tokens.total
    title = "chosen · under each token: change of its probability"
    first = at - at % PAGE
    page = list(enumerate(tokens.positions))[first : first + PAGE]
    rows = [_gainers(number, place, tokenizer, number == at) for number, place in page]
    titles = ("token", "change", "gained most there", "second", "third")
    place = tokens.positions[at]
    moved = {*place.moved(MOST_MOVED), *place.moved(MOST_MOVED, sign=-1), place.token_index}
    ranked = sorted(moved, key=lambda index: -place.changes[index].item())
    return render(
        "mass_of_tokens", logratio=signed(total), at=at + 1, count=len(tokens.ids),
        direction="fell" if total < 0 else "rose" if total > 0 else "stayed as it was",
        factor=_factor(abs(total)) if total else "",
        strip=token_strip(tokens, tokenizer, title, changes_of(tokens), at),
        gainers=number_table("wb-gainers", titles, rows),
        alternatives=alternatives_table(place, ranked, tokenizer),
    )  # fmt: skip


def _factor(nats: float) -> str:
    return f"{math.exp(nats):.3g}" if nats < 20 else f"e^{nats:.0f}"


def _gainers(number: int, place: Position, tokenizer: Tokenizer, marked: bool) -> list[str]:
    """A row of the table: the token, its change, and the tokens that gained most instead of it."""
    gained = [index for index in place.moved(GAINERS + 1) if index != place.token_index][:GAINERS]
    token, *others = map(visible, tokenizer.tokens([place.token, *place.ids[gained].tolist()]))
    cells = [
        render("gainer", token=other, change=tinted(by))
        for other, by in zip(others, place.changes[gained].tolist(), strict=True)
    ]
    cells += [Html("–")] * (GAINERS - len(cells))
    change = tinted(place.changes[place.token_index].item())
    return [numbered(number, token, marked), change, *cells]


def mass_html(mass: ProbabilityMass, tokenizer: Tokenizer) -> Html:
    """The pair's completions and those that gained most, with the probability of all others."""
    drawn = [row for row in mass.rows if not row.name]
    shown = [row for row in mass.rows if row.name] + drawn[:MOST_TEXTS]
    rows = [_completion(row, tokenizer) for row in shown]
    rest = remaining_mass(replace(mass, rows=tuple(shown)).exclusive)
    others = probability(rest.policy), probability(rest.reference), tinted(rest.change)
    rows.append([Html("<i>all other completions</i>"), "", *others, "", ""])
    titles = (
        "completion", f"drawn, of {mass.draws}", "policy", "reference", "change", "log-ratio",
        "gain, nats",
    )  # fmt: skip
    error = "" if math.isnan(mass.error) else f" ± {mass.error:.2f}"
    table = number_table("wb-texts", titles, rows)
    estimate = f"{mass.kl:.2f}{error}"
    return render("mass_of_texts", draws=mass.draws, others=len(drawn), kl=estimate, table=table)


def _completion(row: Continuation, tokenizer: Tokenizer) -> list[str]:
    """A row of the table of completions."""
    text = tokenizer.decode(row.ids)
    return [
        render("completion", name=row.name, text=text, ended=row.ended), str(row.drawn),
        probability(math.exp(row.policy)), probability(math.exp(row.reference)),
        tinted(row.change), signed(row.logratio), change(row.gain),
    ]  # fmt: skip
