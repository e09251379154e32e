"""What the token views are made of: strips, and the tokens that could stand at one position."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from workbench.compare.tokens import PairTokens, Position, TokenLogps
from workbench.data.tokenizer import Tokenizer
from workbench.view.compare.logratio_lines import LogratioLines
from workbench.view.html.render import Html, render
from workbench.view.html.tokens import Strip, draw_strip, signed, visible

SIDES = ("chosen", "rejected")
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


def probability(value: float) -> str:
    """A probability as text, however small.

    >>> probability(0.25), probability(0.0123), probability(0.00002), probability(0.0)
    ('0.250', '0.012', '2.0e−05', '0')
    """
    if value == 0:
        return "0"
    form = ".3f" if value >= 0.1 else "#.2g" if value >= LEAST_WRITTEN else ".1e"
    return f"{value:{form}}".replace("-", "−")


def change(by: float) -> str:
    """A change of probability with its sign, however small.

    >>> change(0.25), change(-0.00002), change(0.0)
    ('+0.250', '−2.0e−05', '0')
    """
    return ("+" if by > 0 else "−" if by < 0 else "") + probability(abs(by))


def tinted(by: float) -> Html:
    """A change of probability as HTML, on blue where it is a gain, on orange where a loss."""
    strength = 0.1 + 0.4 * min(1.0, abs(by)) if abs(by) >= LEAST_WRITTEN else 0.0
    shown = f"{strength:.2f}" if strength else ""
    return render("tinted", gain=by > 0, strength=shown, text=change(by))


def numbered(index: int, text: str, marked: bool) -> Html:
    """The first cell of a row: its number from 1 on, bold with an arrow where it is `marked`."""
    return render("numbered", number=index + 1, text=text, marked=marked)


def number_table(name: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    """An HTML table of class `name` whose first column holds texts, the others numbers."""
    return render("table", name=name, titles=titles, rows=rows, numbers=True)


def token_strip(
    tokens: TokenLogps,
    tokenizer: Tokenizer,
    title: str,
    values: Tensor,
    at: int | None,
    largest: float | None = None,
) -> str:
    """The tokens of a completion as HTML, `values` (token,) under them, the one `at` marked."""
    ended = tokens.ids[-1] == tokenizer.eos_id  # only the last one can be the end
    roles = ["completion"] * (len(tokens.ids) - ended) + ["end"] * ended
    strip = Strip(tokenizer.tokens(tokens.ids), roles, [True] * len(values))
    return draw_strip(strip, title, values.tolist(), at, largest)


def pair_html(
    pair: PairTokens, tokenizer: Tokenizer, lines: LogratioLines, side: int, at: int, below: str
) -> str:
    """Both strips, the lines of the log-ratios, and the alternatives to one token."""
    sides = pair.chosen, pair.rejected
    values = pair.shares if below == SHARE else [UNDER[below](tokens) for tokens in sides]
    at = min(at, len(sides[side].ids) - 1)
    largest = max(value.abs().max().item() for value in values)
    strips = [
        token_strip(
            tokens, tokenizer,
            f"{name}, log-ratio {signed(tokens.total)} · under each token: {below}",
            value, at if index == side else None, largest,
        )
        for index, (name, tokens, value) in enumerate(zip(SIDES, sides, values, strict=True))
    ]  # fmt: skip
    picture = lines.image({n: t.logratios for n, t in zip(SIDES, sides, strict=True)}, side, at)
    margin = (
        f"margin {signed(pair.margin)} nats = chosen {signed(pair.chosen.total)} "
        f"minus rejected {signed(pair.rejected.total)}"
    )
    where = f"token {at + 1} of {len(sides[side].ids)} of the {SIDES[side]}"
    alternatives = alternatives_html(sides[side], at, tokenizer, where, _share(pair, side, at))
    return token_view(strips, picture, alternatives, margin)


def token_view(strips: Sequence[str], picture: str, alternatives: str, margin: str = "") -> Html:
    """The parts of a token view, one below the other."""
    parts = {"strips": strips, "picture": picture, "alternatives": alternatives}
    return render("token_view", margin=margin, **parts)


def _share(pair: PairTokens, side: int, at: int) -> str:
    """A token's share of the margin."""
    share = pair.shares[side][at].item()
    text = f"share of the margin {signed(share)} of {signed(pair.margin)}"
    if abs(pair.margin) >= LEAST_MARGIN:
        text += f" ({share / pair.margin:.0%})".replace("-", "−")
    return text


def alternatives_html(
    tokens: TokenLogps, at: int, tokenizer: Tokenizer, where: str, more: str = ""
) -> Html:
    """What both models expected at one position: a sentence with its numbers, and a table."""
    place, here = tokens.positions[at], tokens.positions[at].token_index
    policy, reference = place.policy[here].item(), place.reference[here].item()
    return render(
        "alternatives", where=where[0].upper() + where[1:], more=more, ranks=place.ranks,
        token=visible(tokenizer.tokens([place.token])[0]), policy=signed(policy),
        reference=signed(reference), logratio=signed(policy - reference),
        so_far=signed(tokens.logratios[: at + 1].sum().item()),
        table=alternatives_table(place, place.likely(SHOWN), tokenizer),
    )  # fmt: skip


def alternatives_table(place: Position, shown: Sequence[int], tokenizer: Tokenizer) -> Html:
    """Tokens that could stand at a position, with both probabilities, as an HTML table.

    `shown` are indices in `place.ids`. The last line holds all other tokens together, so that each
    column of probabilities adds up to 1 and the changes to 0.
    """
    policy, reference = place.policy.exp(), place.reference.exp()
    names = tokenizer.tokens(place.ids[list(shown)].tolist())
    rows = []
    for index, name in zip(shown, names, strict=True):
        ratio = signed((place.policy - place.reference)[index].item())
        word = render("alternative", text=visible(name), marked=index == place.token_index)
        rows.append(_probabilities(word, policy[index].item(), reference[index].item(), ratio))
    hidden = [index for index in range(len(place.ids)) if index not in set(shown)]
    count = place.others + len(hidden)
    if count:
        ours = policy[hidden].sum().item() + place.rest[0]
        theirs = reference[hidden].sum().item() + place.rest[1]
        words = "1 other token" if count == 1 else f"{count:,} other tokens"
        rows.append(_probabilities(Html(f"<i>{words}</i>"), ours, theirs, ""))
    titles = ("token", "policy", "reference", "change", "log-ratio")
    return number_table("wb-choices", titles, rows)


def _probabilities(word: str, policy: float, reference: float, ratio: str) -> list[str]:
    """A row of the table of alternatives."""
    bars = [
        render("bar", width=round(WIDEST * value), colour=colour, text=probability(value))
        for value, colour in ((policy, "0, 114, 178"), (reference, "213, 94, 0"))
    ]
    return [word, *bars, tinted(policy - reference), ratio]
