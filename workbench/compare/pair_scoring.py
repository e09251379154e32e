"""A preference pair from its text to its loss and gradient, correctly or with mistakes.

One pair, computed as defined, so that each number belongs to a token. Training itself uses the fast
path, `completion_logps`; without mistakes both agree, which is tested.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.compare.mistakes import (
    COMPLETION,
    END,
    MISTAKES,
    PADDING,
    PROMPT,
    Draft,
    Mistake,
    Rows,
)
from workbench.core.collation import collate_sequences
from workbench.core.logps import sequence_logps, token_logps
from workbench.core.losses import LOSSES, PairLogps
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError


def text_rows(
    tokenizer: Tokenizer,
    prompt: str,
    chosen: str,
    rejected: str,
    mistakes: Collection[str] = (),
    width: int = 0,
) -> Rows:
    """The two rows of a text pair, with the named mistakes.

    Args:
        tokenizer: the model's.
        prompt, chosen, rejected: texts.
        mistakes: names from `MISTAKES`, in any order; none: correct rows.
        width: pad to at least this many positions, as longer pairs in the same batch would.

    Raises:
        WorkbenchError: an unknown mistake, or a side without tokens.
    """
    wanted = _named(mistakes)
    start = tuple(tokenizer.render_prompt(prompt))
    sides = tuple(tokenizer.completion(chosen)), tuple(tokenizer.completion(rejected))
    draft = Draft(tokenizer, (prompt, chosen, rejected), (start, start), sides)
    for entry in wanted:
        draft = entry(draft) if entry.step == "tokens" else draft
    rows = _rows(draft, width)
    for entry in wanted:
        rows = entry(rows) if entry.step != "tokens" else rows
    scored = rows.scored.clone()
    scored[:, 0] = False  # no position before it predicts it
    return replace(rows, scored=scored)


def _named(mistakes: Collection[str]) -> list[Mistake]:
    unknown = [name for name in mistakes if name not in MISTAKES]
    if unknown:
        accepted = ", ".join(MISTAKES)
        raise WorkbenchError(f"mistake {unknown[0]!r} is unknown; accepted: {accepted}")
    return [entry for name, entry in MISTAKES.items() if name in mistakes]


def _rows(draft: Draft, width: int) -> Rows:
    for side, prompt, completion in zip(
        ("chosen", "rejected"), draft.prompts, draft.completions, strict=True
    ):
        for part, ids in (("prompt", prompt), (f"{side} completion", completion)):
            if not ids:
                raise WorkbenchError(f"the {part} has no tokens; at least one is needed")
    tokenizer = draft.tokenizer
    batch = collate_sequences(
        list(zip(draft.prompts, draft.completions, strict=True)), tokenizer.pad_id
    )
    roles = torch.full_like(batch.tokens, PADDING)
    for row, prompt, completion in zip(roles, draft.prompts, draft.completions, strict=True):
        size, end = len(prompt), len(prompt) + len(completion)
        text_end = end
        while text_end > size and completion[text_end - size - 1] == tokenizer.eos_id:
            text_end -= 1
        row[:size], row[size:text_end], row[text_end:end] = PROMPT, COMPLETION, END
    more = (0, max(0, width - roles.shape[1]))
    return Rows(
        F.pad(batch.tokens, more, value=tokenizer.pad_id),
        F.pad(roles, more, value=PADDING),
        F.pad(batch.completion_mask, more),
        tokenizer.eos_id,
    )


@dataclass(frozen=True)
class Scoring:
    """Log-probabilities, loss and gradient of a pair's rows, in nats, without an autograd graph.

    Attributes:
        rows: the scored rows.
        policy, reference: (side, pos-1) log-probability of each token except the first.
        logratios: (side,) policy minus reference, summed or averaged over the scored tokens.
        loss: of the pair.
        slopes: (side, pos-1) derivative of the loss by each of the policy's log-probabilities.
        gradient: of the loss by each of the policy's parameters, or None.
    """

    rows: Rows
    policy: Tensor
    reference: Tensor
    logratios: Tensor
    loss: float
    slopes: Tensor
    gradient: tuple[Tensor, ...] | None

    @property
    def margin(self) -> float:
        """Chosen minus rejected log-ratio."""
        return (self.logratios[0] - self.logratios[1]).item()

    @property
    def gradient_norm(self) -> float:
        """Euclidean length of the gradient over all parameters."""
        return _dot(self, self) ** 0.5

    def direction(self, right: Scoring) -> float:
        """Cosine between this gradient and the right one, -1 to 1; 0 where one of them is 0."""
        size = self.gradient_norm * right.gradient_norm
        return max(-1.0, min(1.0, _dot(self, right) / size)) if size else 0.0


def _dot(one: Scoring, other: Scoring) -> float:
    if one.gradient is None or other.gradient is None:
        raise WorkbenchError("there is no gradient; score_rows(..., gradient=True) computes it")
    pairs = zip(one.gradient, other.gradient, strict=True)
    return sum((a.double() * b.double()).sum().item() for a, b in pairs)


def score_rows(
    policy: nn.Module,
    reference: nn.Module,
    rows: Rows,
    beta: float = 0.1,
    loss: str = "dpo",
    gradient: bool = True,
) -> Scoring:
    """Score one pair's rows by the plain definition, with one full forward pass per model.

    `loss` is a name from `LOSSES`. With `gradient` the derivative by all trainable parameters is
    kept, which takes as much memory as the weights.
    """
    with torch.no_grad():
        before = _token_logps(reference, rows)
    after = _token_logps(policy, rows)
    sums = [sequence_logps(values, rows.scored, rows.reduction) for values in (after, before)]
    sizes = rows.scored[:, 1:].sum(-1).clamp(min=1)
    sides = [side[None] for values in (*sums, sizes) for side in values]
    value = LOSSES[loss](PairLogps(*sides), beta=beta).sum()
    weights = [p for p in policy.parameters() if p.requires_grad] if gradient else []
    slopes, *by_weights = torch.autograd.grad(value, [after, *weights], materialize_grads=True)
    return Scoring(
        rows,
        after.detach(),
        before,
        (sums[0] - sums[1]).detach(),
        value.item(),
        slopes,
        tuple(by_weights) if gradient else None,
    )


def score_pair(
    policy: nn.Module,
    reference: nn.Module,
    tokenizer: Tokenizer,
    prompt: str,
    chosen: str,
    rejected: str,
    mistakes: Collection[str] = (),
    beta: float = 0.1,
) -> Scoring:
    """Score a text pair with DPO and with the named mistakes; see `text_rows`."""
    rows = text_rows(tokenizer, prompt, chosen, rejected, mistakes)
    return score_rows(policy, reference, rows, beta)


def _token_logps(model: nn.Module, rows: Rows) -> Tensor:
    """(side, pos-1); rows are padded on the right, so no token attends to padding."""
    hidden = model.hidden(rows.tokens)  # type: ignore[operator]
    return token_logps(model.head(hidden), rows.tokens)  # type: ignore[operator]
