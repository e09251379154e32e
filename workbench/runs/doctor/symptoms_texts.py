"""Symptoms in what the policy writes, and in how far it has gone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

from workbench.generation.repetition import repetition
from workbench.runs.doctor.diagnosis import CANNOT_TELL, FOUND, NOT_FOUND, Diagnosis
from workbench.runs.doctor.logged_metrics import Readings
from workbench.runs.doctor.symptoms_start import FAR, kl_per_token, margin_in_nats

FALL = 1.0  # nats per token that the chosen lose; sound runs of the tiny model lose up to 0.85
RELATIVE = 0.75  # of their log-probability, where their length is not known
WORSE = 0.15  # of the true score, from -1 to 1, below its peak, and chance
BROKEN = 0.3  # of all texts, that no longer parse
RISE = 1.1  # held-out loss over its lowest
LONGER = 1.5  # of the length at the start, and more for the chance in a few answers
CUT = 0.9  # of the longest answer
REPEATED = 0.1  # share of three words in a row that came before, above that of the reference


def over_optimised(seen: Readings) -> Diagnosis:
    """Texts, or held-out pairs, that get worse again while training goes on."""
    name = "over-optimisation"
    todo = "take a checkpoint near step {step}, raise beta, or lower epochs or learning rate"
    fluent = seen.held_out.get("samples/grammatical")
    if fluent is not None and fluent.settled < fluent.first - BROKEN:
        step = max(s for s, value in fluent.points if value >= fluent.highest[1] - BROKEN / 3)
        told = f"{fluent.first:.0%} of its texts parsed at the start, {fluent.last:.0%} do now"
        return Diagnosis(name, FOUND, told, todo.format(step=step))
    score = seen.held_out.get("samples/reward")
    if score is not None and len(score.points) > 1:
        step, best = score.highest
        told = (
            f"the true score of its texts is {score.last:+.2f}, at best {best:+.2f} (step {step})"
        )
        if score.settled < best - WORSE - chance(seen) and best > score.first:
            return Diagnosis(name, FOUND, told, todo.format(step=step))
        return Diagnosis(name, NOT_FOUND, told)
    loss = seen.held_out.get("loss")
    writes = any(n.startswith("logps/") for n in (*seen.held_out, *seen.training))
    if loss is None or len(loss.points) < 3 or not writes:
        return Diagnosis(name, CANNOT_TELL, "neither texts with a score nor three held-out losses")
    step, best = loss.lowest
    told = f"the held-out loss is {loss.last:.3g}, at best {best:.3g} (step {step})"
    if best > 0 and loss.last > RISE * best and loss.points[0][0] < step:
        return Diagnosis(name, FOUND, told, todo.format(step=step))
    return Diagnosis(
        name, CANNOT_TELL, f"{told}, and no score of the texts is known: loss and accuracy alone "
        "do not show it; read answers of several checkpoints",
    )  # fmt: skip


def chance(seen: Readings) -> float:
    """What chance adds to a mean over the answers of an evaluation, as a share of their spread."""
    count = seen.settings.get("samples")
    return 1 / math.sqrt(count if isinstance(count, int) and count > 0 else 64)


def exploding_kl(seen: Readings) -> Diagnosis:
    """A policy far from its reference, by the KL of its answers per token."""
    name, kl = "KL exploding", kl_per_token(seen)
    if not kl:
        return Diagnosis(name, CANNOT_TELL, "no KL to the reference was measured")
    step, value = kl[-1]
    whole = dict(seen.held_out["kl/policy_reference"].points)[step]
    told = f"{whole:.3g} nats per answer at step {step}, {value:.2g} per token"
    if median([other for _, other in kl[1:]][-3:]) <= FAR:
        return Diagnosis(name, NOT_FOUND, told)
    near = [s for s, other in kl if other <= FAR / 2]
    told += f"; at most half the limit of {FAR} until step {near[-1]}" if near and near[-1] else ""
    beta = seen.settings.get("beta")
    raised = "a larger beta"
    if isinstance(beta, int | float):
        raised = f"beta four times as large ({4 * beta:.3g})"
    return Diagnosis(name, FOUND, told, f"{raised}, a lower learning rate, or fewer epochs")


def falling_chosen(seen: Readings) -> Diagnosis:
    """A chosen side that becomes unlikely, which a growing margin hides."""
    name = "chosen falling"
    found = seen.ends("logps/chosen")
    if found is None:
        return Diagnosis(name, CANNOT_TELL, "no log-probabilities of the chosen were logged")
    start, now, where = found
    fall, margin = start - now, margin_in_nats(seen)
    gained = margin[0] if margin is not None else 0.0
    told = f"the {where} chosen have lost {fall:.3g} nats while the margin grew by {gained:.3g}"
    length = _length(seen)
    if length is not None:
        told += f"; {fall / length:.2g} per token"
        bad = fall / length > FALL
    else:
        bad = fall > RELATIVE * abs(start) and abs(start) > 1
    if fall <= 0:
        told = f"the {where} chosen have gained {-fall:.3g} nats"
    if not bad:
        return Diagnosis(name, NOT_FOUND, told)
    return Diagnosis(
        name, FOUND, f"{told}: probability goes to texts that are in neither side",
        "add likelihood of the chosen: --loss dpop, or dpo+0.2*nll; or leave out pairs whose sides "
        "are nearly alike",
    )  # fmt: skip


def _length(seen: Readings) -> float | None:
    """Mean tokens of the chosen."""
    for series in (seen.held_out, seen.training):
        found = series.get("lengths/chosen")
        if found is not None and found.last >= 1:
            return found.last
    return None


def growing_length(seen: Readings) -> Diagnosis:
    """Answers that grow."""
    name, lengths = "length growing", seen.held_out.get("samples/length")
    where = "answers"
    if lengths is None or len(lengths.points) < 2:
        lengths, where = seen.training.get("lengths/completion"), "completions written"
        if lengths is None or not (seen.texts or "scores" in seen.training):
            return Diagnosis(name, CANNOT_TELL, "no answers were written twice")
    start, now = lengths.first, lengths.settled
    if where != "answers":
        start, now = lengths.beginning, lengths.end
    told = f"{where} have {now:.3g} tokens, {start:.3g} at the start"
    most = seen.settings.get("max_new_tokens")
    if now > (LONGER + 1.5 * chance(seen)) * max(start, 1.0):
        sides = [seen.held_out.get(f"lengths/{side}") for side in ("chosen", "rejected")]
        if all(sides):
            long, short = (side.last for side in sides if side)
            told += f"; the chosen have {long:.3g}, the rejected {short:.3g}"
        return Diagnosis(
            name, FOUND, told,
            "balance the pairs by length, or take a loss that follows it less: --loss rdpo, "
            "dpo_norm or simpo; or --ld-alpha 0",
        )  # fmt: skip
    if isinstance(most, int) and min(start, now) > CUT * most:
        return Diagnosis(name, CANNOT_TELL, f"{told}, and {most} are the most that is written")
    return Diagnosis(name, NOT_FOUND, told)


def repeating(seen: Readings) -> Diagnosis:
    """Answers that say the same again."""
    name = "repetition"
    if len(seen.texts) < 2:
        return Diagnosis(name, CANNOT_TELL, "no texts of two evaluations are kept")
    first, late = seen.texts[0], seen.texts[-2:] if len(seen.texts) > 2 else seen.texts[-1:]
    before = _mean([*first.policy, *first.reference])
    now = _mean([text for one in late for text in one.policy])
    told = (
        f"{now:.0%} of three words in a row came before in the same answer, {before:.0%} at first"
    )
    if now <= before + REPEATED:
        return Diagnosis(name, NOT_FOUND, told)
    return Diagnosis(
        name, FOUND, f"{told} (steps {', '.join(str(one.step) for one in late)})",
        "look whether the chosen repeat themselves; else an earlier checkpoint or a larger beta",
    )  # fmt: skip


def _mean(texts: Sequence[str]) -> float:
    return fmean(map(repetition, texts)) if texts else 0.0
