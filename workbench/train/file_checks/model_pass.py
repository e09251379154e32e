"""How likely a model finds the completions of some pairs, before it is trained on them.

Two things show. Completions far below all others are hardly text: random letters, words in reverse
or without order. Fluent text in another language, markup and a broken encoding that repeats itself
are likely enough to pass. And where nearly every rejected completion is more
probable than the chosen one, the sides may be swapped. The second is weak evidence: a good chosen
text is often the longer and less expected one. It speaks of the file, never of a row.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.core.batch import Pair
from workbench.core.metrics import wilson_interval
from workbench.data.pairs import TextPair
from workbench.data.preflight.finding import Finding
from workbench.models.load import Model
from workbench.train.batches import in_order
from workbench.train.methods.preference import METHOD
from workbench.train.precision import computing, pick_device, pick_precision, set_threads

SAMPLE, BATCH = 128, 8  # pairs that are scored, and those of a forward pass
LOW = -6.0  # nats a token: below what any text of the measured good files has
DEVIATIONS = 3.0  # robust ones below the median, at least: the file's own spread counts
ENOUGH = 8  # tokens of a completion, at least: "Al." is short, not gibberish
SWAPPED = 0.75  # of pairs, at the lower end of the interval, by sums and per token alike


def drawn(count: int, seed: int = 0) -> list[int]:
    """Which of `count` pairs are scored, ascending."""
    return sorted(random.Random(seed).sample(range(count), min(count, SAMPLE)))


@torch.no_grad()
def completion_sums(model: Model, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Log-probabilities (pair, side), nats, summed over tokens, and numbers of tokens."""
    policy, device = model.policy, pick_device("auto")
    policy.to(device)
    set_threads(policy)
    precision = pick_precision("auto", device, policy)
    sums, lengths = torch.zeros(len(pairs), 2), torch.zeros(len(pairs), 2)
    for batch in in_order(METHOD, pairs, model.tokenizer.pad_id, BATCH, policy.layouts[-1]):
        there = batch.to(device)
        with computing(policy, device, precision):
            found = policy(there).sums(there.sequences)
        assert batch.index is not None
        sums[batch.index] = found.float().cpu().view(-1, 2)
        lengths[batch.index] = batch.lengths().float().view(-1, 2)
    return sums, lengths


def model_pass(
    model: Model, pairs: Sequence[Pair], texts: Sequence[TextPair]
) -> tuple[list[Finding], str]:
    """What the model's likelihood of a sample of pairs shows, and its numbers in a line.

    Args:
        model: that is to be trained.
        pairs, texts: the pairs of a file as it encodes them, and the texts that they were made of.
    """
    chosen = drawn(len(pairs))
    sums, lengths = completion_sums(model, [pairs[index] for index in chosen])
    rows = [texts[index].row for index in chosen]
    sides = {(pairs[i].chosen, pairs[i].rejected): at for at, i in enumerate(chosen)}
    once = list(sides.values())
    findings = [*improbable(sums, lengths, rows), *swapped(sums[once], lengths[once])]
    return findings, in_numbers(sums, lengths)


def improbable(sums: Tensor, lengths: Tensor, rows: Sequence[int]) -> list[Finding]:
    """Completions that lie far below the others and below what texts have; all of these (pair,
    side)."""
    means = sums / lengths
    middle = means.median()
    spread = 1.4826 * (means - middle).abs().median()  # a deviation, where they are normal
    if middle < LOW:
        return [
            Finding(
                "texts improbable under the model", False, (),
                f"half of the completions have less than {float(middle):.1f} nats a token: the "
                "model hardly knows their language",
                "take a model that was trained on such texts",
            )
        ]  # fmt: skip
    low = (means < LOW) & (means < middle - DEVIATIONS * spread) & (lengths >= ENOUGH)
    found = [row for row, bad in zip(rows, low.any(1).tolist(), strict=True) if bad]
    if not found:
        return []
    return [
        Finding(
            "completions improbable under the model", False, tuple(dict.fromkeys(found)),
            f"{len(found)} of {len(rows)} pairs looked at have a completion below {LOW:g} nats a "
            f"token, where the file's median is {float(middle):.1f}: random letters, or words "
            "without order",
            "read them; remove what is no text",
        )
    ]  # fmt: skip


def _shares(sums: Tensor, lengths: Tensor) -> list[tuple[float, float, float]]:
    """How often the rejected side is more probable, with its 95% interval: by sums, per token."""
    found = []
    for values in (sums, sums / lengths):
        share = float((values[:, 1] > values[:, 0]).float().mean())
        found.append((share, *wilson_interval(share, len(values))))
    return found


def swapped(sums: Tensor, lengths: Tensor) -> list[Finding]:
    """Whether nearly all rejected completions are more probable; (pair, side) both, without
    copies of a pair, which are no further evidence."""
    by_sum, by_token = _shares(sums, lengths)
    if min(by_sum[1], by_token[1]) <= SWAPPED:
        return []
    return [
        Finding(
            "chosen and rejected perhaps swapped", False, (),
            f"the model finds the rejected completion more probable in {by_sum[0]:.0%} of "
            f"{len(sums)} pairs, per token in {by_token[0]:.0%}; a few swapped rows would not show",
            "read some pairs; it is as it should be where a model like this one wrote the rejected",
        )
    ]  # fmt: skip


def in_numbers(sums: Tensor, lengths: Tensor) -> str:
    """In a line: what was looked at, and how likely both sides are."""
    (by_sum, low, high), (by_token, *_) = _shares(sums, lengths)
    means = (sums / lengths).mean(0).tolist()
    return (
        f"the model's pass over {len(sums)} pairs drawn at random: chosen {means[0]:.2f}, rejected "
        f"{means[1]:.2f} nats a token; the rejected is more probable in {by_sum:.0%} "
        f"({low:.0%} to {high:.0%}), per token in {by_token:.0%}"
    )
