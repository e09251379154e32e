"""A preference pair that a learner types, with a switch for every scoring mistake."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import ipywidgets as widgets
from torch import Tensor

from workbench.compare.mistakes import MISTAKES, Rows
from workbench.compare.pair_scoring import Scoring, score_rows, text_rows
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.view.controls.explorer import Explorer, beta_slider, slider
from workbench.view.controls.fields import checkbox, text_fields
from workbench.view.html.render import Html, render
from workbench.view.html.tokens import pair_strips, signed

LONGEST = 160  # positions of a row; longer ones are too slow while somebody types
BELOW = ("log-ratio", "log-probability", "pull", "nothing")
Texts = tuple[str, str, str]
DIRECTIONS = (  # lowest cosine, description
    (0.9995, "the same direction"),
    (0.95, "nearly the same direction"),
    (0.5, "a different direction"),
    (0.0, "mostly elsewhere"),
    (-1.0, "against the right direction"),
)


def explore_scoring(
    policy: Model,
    reference: Model,
    prompt: str,
    chosen: str,
    rejected: str,
    beta: float = 0.5,
    mistakes: Collection[str] = (),
) -> Explorer:
    """Tokens, loss and gradient of a pair that can be typed, scored correctly and with mistakes.

    Args:
        policy, reference: models with one tokenizer; the policy's weights are not changed.
        prompt, chosen, rejected: the texts to begin with.
        beta: where its slider starts.
        mistakes: names out of `MISTAKES` that are switched on at first.
    """
    tokenizer = policy.tokenizer

    def score(texts: Texts, made: Sequence[str], width: int, beta: float) -> Scoring:
        rows = _short(text_rows(tokenizer, *texts, made, width))
        return score_rows(policy.policy, reference.policy, rows, beta)

    def draw(
        prompt: str, chosen: str, rejected: str, beta: float, width: int, below: str,
        **switches: bool,
    ) -> str:  # fmt: skip
        texts, made = (prompt, chosen, rejected), _switched_on(switches)
        right = score(texts, (), width, beta)
        wrong = score(texts, made, width, beta) if made else None
        same = wrong is not None and wrong.rows.same_as(right.rows)
        strips = [_strips(each, tokenizer, below) if each else "" for each in (right, wrong)]
        return score_table(right, wrong) + _both_strips(strips, made, same)

    return Explorer(
        draw,
        **text_fields(prompt=prompt, chosen=chosen, rejected=rejected),
        beta=beta_slider(beta),
        width=slider(0, 0, LONGEST, 1, "pad rows to"),
        below=widgets.Dropdown(options=BELOW, description="under the tokens"),
        **_switches(MISTAKES, mistakes),
    )


def explore_tokens(
    tokenizer: Tokenizer,
    prompt: str,
    chosen: str,
    rejected: str,
    mistakes: Collection[str] = (),
    template: bool = True,
) -> Explorer:
    """The tokens of a pair that can be typed, rendered correctly and with mistakes.

    Where the tokenizer has a chat template there is a switch for it, set to `template` at first.
    """
    names = [name for name, entry in MISTAKES.items() if entry.step != "sum"]

    def draw(prompt: str, chosen: str, rejected: str, **switches: bool) -> str:
        used = tokenizer if switches.pop("template", True) else without_template(tokenizer)
        texts, made = (prompt, chosen, rejected), _switched_on(switches)
        right, wrong = (_short(text_rows(used, *texts, mistakes)) for mistakes in ((), made))
        strips = [pair_strips(right, used), pair_strips(wrong, used) if made else ""]
        return _both_strips(strips, made, wrong.same_as(right))

    switches = _switches(names, mistakes)
    if tokenizer.chat_template is not None:
        tip = "wrap the prompt as the model's chats are"
        switches = {"template": checkbox("chat template", template, tip), **switches}
    return Explorer(
        draw, **text_fields(prompt=prompt, chosen=chosen, rejected=rejected), **switches
    )


def without_template(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer for a model that continues texts and knows no chat."""
    return Tokenizer(
        tokenizer.backend, tokenizer.eos_id, tokenizer.pad_id, tokenizer.bos_ids,
        stop_ids=tokenizer.stop_ids, special_names=tokenizer.special_names,
    )  # fmt: skip


def draw_scoring(
    scoring: Scoring, tokenizer: Tokenizer, right: Scoring | None = None, below: str = "log-ratio"
) -> str:
    """The numbers of a pair and its two strips as HTML; beside `right`, if that is given.

    `below` is a name out of `BELOW`: the numbers under the tokens.
    """
    table = score_table(scoring) if right is None else score_table(right, scoring)
    return table + _strips(scoring, tokenizer, below)


def score_table(right: Scoring, wrong: Scoring | None = None) -> Html:
    """Loss, margin and gradient as an HTML table: right, and with mistakes beside it."""
    columns = [right] if wrong is None else [right, wrong]
    lines = {
        "loss": [f"{each.loss:.4f}" for each in columns],
        "margin": [signed(each.margin) for each in columns],
        "log-ratio of the chosen": [signed(each.logratios[0].item()) for each in columns],
        "log-ratio of the rejected": [signed(each.logratios[1].item()) for each in columns],
        "tokens scored": ["{} and {}".format(*each.rows.scored.sum(-1)) for each in columns],
        "length of the gradient": [f"{each.gradient_norm:.3g}" for each in columns],
    }
    if wrong is not None:
        lines["length of the gradient"][1] += f", {_times(wrong, right)}"
        lines["direction of the gradient"] = ["", _direction(wrong, right)]
    titles = ["", "right", "with the mistakes"][: len(columns) + 1]
    rows = [(name, *values) for name, values in lines.items()]
    return render("table", name="wb-scores", titles=titles, rows=rows, numbers=False)


def _times(wrong: Scoring, right: Scoring) -> str:
    return f"× {wrong.gradient_norm / right.gradient_norm:.3g}" if right.gradient_norm else "× –"


def _direction(wrong: Scoring, right: Scoring) -> str:
    if not wrong.gradient_norm or not right.gradient_norm:
        return "none: there is no gradient"
    cosine = wrong.direction(right)
    words = next(words for lowest, words in DIRECTIONS if cosine >= lowest)
    return f"cosine {signed(cosine)}: {words}"


def _both_strips(strips: Sequence[str], made: Sequence[str], same: bool) -> Html:
    """The strips of a pair, scored correctly and with mistakes, and what each mistake is."""
    mistakes = [MISTAKES[name] for name in made]
    return render("scoring", right=strips[0], wrong=strips[1], mistakes=mistakes, same=same)


def _strips(scoring: Scoring, tokenizer: Tokenizer, below: str) -> str:
    values: dict[str, Tensor] = {
        "log-ratio": scoring.policy - scoring.reference,
        "log-probability": scoring.policy,
        "pull": -scoring.slopes,
    }
    return pair_strips(scoring.rows, tokenizer, values.get(below), below)


def _short(rows: Rows) -> Rows:
    length = rows.tokens.shape[1]
    if length > LONGEST:
        raise WorkbenchError(f"the texts make {length} tokens per row; at most {LONGEST} are shown")
    return rows


def _switched_on(switches: dict[str, bool]) -> tuple[str, ...]:
    return tuple(name for name, on in switches.items() if on)


def _switches(names: Collection[str], on: Collection[str]) -> dict[str, widgets.Checkbox]:
    return {
        name: checkbox(MISTAKES[name].label, name in on, MISTAKES[name].summary) for name in names
    }
