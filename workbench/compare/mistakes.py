"""Common mistakes in scoring a preference pair, each a switch; any of them combine.

A text pair becomes tokens, a `Draft`; tokens become two rows with a mask, `Rows`. A mistake changes
one of both. `pair_scoring` applies mistakes and scores the rows. A new mistake is one decorated
function here; switches, tables and tests read it from `MISTAKES`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.data.chat import render_chat
from workbench.data.tokenizer import Tokenizer

ROLES = ("prompt", "completion", "end", "padding")
PROMPT, COMPLETION, END, PADDING = range(4)
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Draft:
    """Token ids of a text pair before they become rows.

    `prompts` and `completions` hold the chosen side first; without mistakes both prompts are equal.
    """

    tokenizer: Tokenizer
    texts: tuple[str, str, str]  # prompt, chosen, rejected
    prompts: tuple[Ids, Ids]
    completions: tuple[Ids, Ids]


@dataclass(frozen=True)
class Rows:
    """A pair as two rows of tokens, the chosen one first.

    Attributes:
        tokens: (side, pos) ids, padded on the right.
        roles: (side, pos) the kind of each token, an index into `ROLES`.
        scored: (side, pos) True where a token's log-probability counts; never the first.
        eos_id: the end of sequence.
        reduction: "sum" or "mean" over the scored tokens.
    """

    tokens: Tensor
    roles: Tensor
    scored: Tensor
    eos_id: int
    reduction: str = "sum"

    def same_as(self, other: Rows) -> bool:
        """Whether both score the same tokens with the same reduction."""
        return self.reduction == other.reduction and all(
            torch.equal(getattr(self, name), getattr(other, name))
            for name in ("tokens", "roles", "scored")
        )


@dataclass(frozen=True)
class Mistake:
    """A registered mistake: callable, and the facts that switches, tables and tests need.

    `step` is "tokens" for a change of a `Draft`, "mask" or "sum" for a change of `Rows`. `label` is
    for display; `watch` names the effect to look for.
    """

    name: str
    step: str
    label: str
    function: Callable[[Any], Any]
    watch: str

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return inspect.getdoc(self.function).splitlines()[0]  # type: ignore[union-attr]

    def __call__(self, value: Any) -> Any:
        """The draft or the rows with this mistake."""
        return self.function(value)


MISTAKES: dict[str, Mistake] = {}


def mistake(step: str, label: str, watch: str) -> Callable[[Callable[..., Any]], Mistake]:
    """Register a function under its own name; mistakes apply in the order of registration."""

    def register(function: Callable[..., Any]) -> Mistake:
        entry = Mistake(function.__name__, step, label, function, watch)
        MISTAKES[entry.name] = entry
        return entry

    return register


# -- mistakes in the tokens ------------------------------------------------------------------


@mistake(
    "tokens",
    "tokenised together",
    "A token across the boundary counts as part of the prompt, and is not scored.",
)
def tokenised_together(draft: Draft) -> Draft:
    """Prompt and completion are tokenised as one text, and split at the prompt's own length."""
    tokenizer, (prompt, *answers) = draft.tokenizer, draft.texts
    start: Ids = ()
    if tokenizer.chat_template is not None:
        prompt = render_chat(tokenizer.chat_template, prompt, None, tokenizer.special_names)
    else:
        start = tokenizer.bos_ids
    cut = len(draft.prompts[0])
    wholes = [(*start, *tokenizer.completion(prompt + answer)) for answer in answers]
    prompts, completions = [ids[:cut] for ids in wholes], [ids[cut:] for ids in wholes]
    return replace(draft, prompts=_two(prompts), completions=_two(completions))


@mistake(
    "tokens",
    "missing BOS",
    "The model was trained with a start token and is now used without one.",
)
def missing_bos(draft: Draft) -> Draft:
    """The start token before the prompt is left out, where the tokenizer has one."""
    start = _start(draft.tokenizer)
    cut = len(start) if start and draft.prompts[0][: len(start)] == start else 0
    return replace(draft, prompts=_two([ids[cut:] for ids in draft.prompts]))


@mistake(
    "tokens",
    "doubled BOS",
    "Template and tokenizer each add one: the model never saw two in training.",
)
def doubled_bos(draft: Draft) -> Draft:
    """One start token too many: the tokenizer's own, else its end token, as in GPT-2."""
    start = _start(draft.tokenizer) or (draft.tokenizer.eos_id,)
    return replace(draft, prompts=_two([(*start, *ids) for ids in draft.prompts]))


@mistake(
    "tokens",
    "missing EOS",
    "Stopping is not trained: hardly visible in one pair, but in the lengths of answers.",
)
def missing_eos(draft: Draft) -> Draft:
    """Completions have no end token."""
    end = draft.tokenizer.eos_id
    return replace(
        draft,
        completions=_two([ids[:-1] if ids[-1:] == (end,) else ids for ids in draft.completions]),
    )


@mistake(
    "tokens",
    "doubled EOS",
    "Predictions after an end token are noise, and the noise is scored.",
)
def doubled_eos(draft: Draft) -> Draft:
    """Completions have one end token too many."""
    end = draft.tokenizer.eos_id
    return replace(draft, completions=_two([(*ids, end) for ids in draft.completions]))


# -- mistakes in the mask or the sum ----------------------------------------------------------


@mistake(
    "mask",
    "prompt scored",
    "In a sum it cancels in the margin, but not in the log-ratios that are plotted. In a mean its "
    "tokens also count in the divisor, which shrinks the margin.",
)
def prompt_scored(rows: Rows) -> Rows:
    """The prompt's tokens are scored like those of the completion."""
    return replace(rows, scored=rows.scored | (rows.roles == PROMPT))


@mistake(
    "mask",
    "padding scored",
    "A pair's loss depends on the lengths of the other pairs in its batch.",
)
def padding_scored(rows: Rows) -> Rows:
    """All tokens after the prompt are scored, padding included."""
    return replace(rows, scored=rows.scored | (rows.roles == PADDING))


@mistake(
    "mask",
    "mask by pad id",
    "The end token is present but not scored: the same loss as without one.",
)
def mask_by_pad_id(rows: Rows) -> Rows:
    """Padding is masked by id, `token != pad`, while the pad token is the end token."""
    tokens = rows.tokens.masked_fill(rows.roles == PADDING, rows.eos_id)
    return replace(rows, tokens=tokens, scored=rows.scored & (tokens != rows.eos_id))


@mistake(
    "mask",
    "mask off by one",
    "Each completion loses its first token and scores one after its end, where there is one.",
)
def mask_off_by_one(rows: Rows) -> Rows:
    """The mask is sliced `[:, :-1]`, like the inputs, instead of `[:, 1:]`, like the targets."""
    return replace(rows, scored=F.pad(rows.scored[:, :-1], (1, 0)))


@mistake(
    "sum",
    "mean for sum",
    "Divides beta by each side's own length: tokens of a short completion get larger gradients.",
)
def mean_for_sum(rows: Rows) -> Rows:
    """Log-probabilities are averaged over the scored tokens instead of summed."""
    return replace(rows, reduction="mean")


def _start(tokenizer: Tokenizer) -> Ids:
    """The start token: the one that the tokenizer adds, else the `bos_token` of its template."""
    if tokenizer.bos_ids:
        return tokenizer.bos_ids
    name = tokenizer.special_names.get("bos_token")
    index = None if name is None else tokenizer.backend.token_to_id(name)
    return () if index is None else (index,)


def _two(sides: list[Ids]) -> tuple[Ids, Ids]:
    return sides[0], sides[1]
