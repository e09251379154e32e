"""Symptoms that come from the data: leakage, labels, pairs learnt by heart."""

from __future__ import annotations

from workbench.runs.doctor.diagnosis import CANNOT_TELL, FOUND, NOT_FOUND, Diagnosis
from workbench.runs.doctor.logged_metrics import LOG_2, Readings
from workbench.runs.doctor.parts import Parts
from workbench.runs.doctor.symptoms_start import (
    SOME,
    accuracy_interval,
    has_moved,
    learns,
    margin_in_nats,
)

NOTHING = 1e-6  # units of reward, which rounding alone may reach
STILL = 0.01  # of the loss at the start, by which a loss that is stuck has fallen at most
WORSE = 0.15  # of the true score, which ranges from -1 to 1
RANKED = 0.6  # training accuracy of pairs that are learnt
TIES = 0.1  # of the pairs, which count as ranked wrongly
KNOWN = 0.95  # training accuracy of pairs that are known by heart
GAP = 1.5  # held-out loss over training loss
LEAKED = 0.02  # of the held-out rows
LISTED = 6  # rows that are named


def stuck(seen: Readings) -> Diagnosis:
    """A loss that has not left log 2."""
    name = "stuck at log 2"
    found, margins = seen.either("loss"), seen.training.get("rewards/margins")
    if found is None or margins is None:
        return Diagnosis(name, CANNOT_TELL, "no loss of pairs was logged twice")
    loss, where = found
    if loss.points[0][0] <= 1 and abs(loss.first - LOG_2) > 0.02:
        return Diagnosis(name, NOT_FOUND, f"the loss of this method begins at {loss.first:.3g}")
    best = loss.lowest[1] if where == "held-out" else loss.end
    told = f"the {where} loss is {best:.4f} at best, log 2 is {LOG_2:.4f}"
    if best < (1 - STILL) * LOG_2 or max(best, loss.end) > (1 + 5 * STILL) * LOG_2:
        return Diagnosis(name, NOT_FOUND, told)
    if seen.early:
        return Diagnosis(name, CANNOT_TELL, f"{told}; {seen.early}")
    if _nothing_moves(seen):
        norm = seen.training.get("grad_norm")
        told += f"; all margins are 0 up to step {seen.step}: nothing is trained"
        told += "" if norm is None else f", with gradients up to {norm.highest[1]:.2g}"
        return Diagnosis(
            name, FOUND, told,
            "see that weights are trainable (adapters attached, nothing frozen), that the learning "
            "rate is not 0, and beta neither",
        )  # fmt: skip
    if learns(seen):
        return Diagnosis(name, NOT_FOUND, f"{told}, but pairs are ranked better than by chance")
    interval, margin = accuracy_interval(seen), margin_in_nats(seen)
    if interval is not None:
        told += f"; held-out accuracy {interval[0]:.2f} to {interval[1]:.2f}, chance is 0.50"
    if margin is not None:
        told += f"; margin {margin[0]:+.2g} nats"
    if interval is None or (seen.held_out_items or 0) < SOME:
        return Diagnosis(name, CANNOT_TELL, f"{told}; hold out {SOME} rows or more to tell why")
    if not has_moved(seen):
        return Diagnosis(name, CANNOT_TELL, f"{told}: it has hardly left the reference")
    return Diagnosis(
        name, FOUND, f"{told}: the labels do not say which side is better, or the sides are alike",
        "look at twenty pairs by eye; run preflight for contradictions and sides that hardly "
        "differ",
    )  # fmt: skip


def _nothing_moves(seen: Readings) -> bool:
    """Whether every margin and log-ratio is 0; the first is taken before the first step."""
    names = ("rewards/margins", "logratios/chosen", "logratios/rejected")
    series = [part[n] for part in (seen.training, seen.held_out) for n in names if n in part]
    several = len(seen.training["rewards/margins"].points) > 1
    return several and max(abs(value) for one in series for value in one.values) < NOTHING


def flipped_labels(seen: Readings) -> Diagnosis:
    """Texts that get worse while the pairs are learnt; or held-out pairs ranked below chance."""
    name = "labels flipped"
    todo = (
        "look at ten pairs by eye: is the chosen one better? Else exchange the columns: --columns "
        "chosen=rejected,rejected=chosen"
    )
    below = _below_chance(seen)
    if below is not None and below[1] > RANKED:
        told = (
            f"held-out accuracy is at most {below[0]:.2f}, training accuracy {below[1]:.2f}: one "
            "part is labelled the other way round"
        )
        return Diagnosis(name, FOUND, told, todo)
    score = seen.held_out.get("samples/reward")
    if score is None or len(score.points) < 2:
        return Diagnosis(
            name, CANNOT_TELL,
            "no true score of the texts is known: labels flipped throughout look like right ones",
        )  # fmt: skip
    told = f"the true score of its texts goes from {score.first:+.2f} to {score.last:+.2f}"
    if score.last < score.first - WORSE and score.highest[1] < score.first + WORSE and learns(seen):
        return Diagnosis(name, FOUND, f"{told} while the pairs are learnt", todo)
    return Diagnosis(name, NOT_FOUND, told)


def reversed_ranking(seen: Readings) -> Diagnosis:
    """A loss that ranks its own training pairs the wrong way round."""
    name = "learns the reverse"
    below = _below_chance(seen)
    if below is None:
        if accuracy_interval(seen) is None or not seen.compares:
            return Diagnosis(name, CANNOT_TELL, "no held-out accuracy against a reference is known")
        return Diagnosis(name, NOT_FOUND, "pairs are not ranked below chance")
    told = f"held-out accuracy is at most {below[0]:.2f}, training accuracy {below[1]:.2f}"
    if below[1] >= 0.5:
        return Diagnosis(name, NOT_FOUND, told)
    return Diagnosis(
        name, FOUND, f"{told}: the loss itself pushes the chosen below the rejected",
        "take another loss, such as dpo, or another strength of this one",
    )  # fmt: skip


def _below_chance(seen: Readings) -> tuple[float, float] | None:
    """The upper bound of a held-out accuracy below chance, and the training accuracy; else None."""
    interval, trained = accuracy_interval(seen), seen.training.get("rewards/accuracies")
    ties = seen.held_out.get("rewards/ties")
    if interval is None or trained is None or not seen.compares or interval[1] >= 0.5:
        return None
    return None if ties is not None and ties.last > TIES else (interval[1], trained.end)


def memorised(seen: Readings) -> Diagnosis:
    """Training pairs that are known by heart, and held-out ones that are not."""
    name = "memorised pairs"
    trained, kept = seen.training.get("loss"), seen.held_out.get("loss")
    if trained is None or kept is None:
        return Diagnosis(name, CANNOT_TELL, "no loss of both training and held-out rows is known")
    if seen.epochs is None:
        return Diagnosis(name, CANNOT_TELL, "the number of epochs is not recorded")
    told = (
        f"loss {trained.end:.3g} in training and {kept.last:.3g} held out after "
        f"{seen.epochs:.3g} epochs"
    )
    if seen.epochs <= 1:
        return Diagnosis(name, NOT_FOUND, f"{told}: no pair was seen twice")
    start = max(trained.beginning, kept.first)
    apart = kept.last > GAP * trained.end and kept.last - trained.end > 0.1 * abs(start)
    accuracy = seen.training.get("rewards/accuracies")
    if accuracy is not None:
        told += f"; training accuracy {accuracy.end:.2f}"
        apart = apart and accuracy.end > KNOWN
    if not apart:
        return Diagnosis(name, NOT_FOUND, told)
    step, lowest = kept.lowest
    if step == 0 or start - lowest < STILL * abs(start):
        return Diagnosis(
            name, FOUND, f"{told}; the held-out loss was never below its start ({lowest:.3g} at "
            f"step {step}): nothing carries over to held-out pairs",
            "look at twenty pairs by eye: do the labels say which side is better?",
        )  # fmt: skip
    return Diagnosis(
        name, FOUND, f"{told}; the held-out loss was lowest at step {step} ({lowest:.3g})",
        f"stop there: --max-steps {step}, or fewer epochs; more pairs help most",
    )  # fmt: skip


def leakage(seen: Readings) -> Diagnosis:
    """Held-out rows that training has too."""
    name, parts = "held-out leakage", seen.parts
    if parts is None:
        return Diagnosis(name, NOT_FOUND, "the reviews are held out by topic")
    if not isinstance(parts, Parts):
        return Diagnosis(name, CANNOT_TELL, parts)
    shared = parts.shared
    if not shared.total:
        return Diagnosis(name, CANNOT_TELL, "nothing is held out")
    told = (
        f"of {shared.total} held-out rows {shared.prompts} have their prompt in training, "
        f"{shared.whole} all their completions, {shared.completions} a completion of four words "
        "or more, case and spaces apart"
    )
    if max(shared.prompts, shared.whole) <= LEAKED * shared.total:
        return Diagnosis(name, NOT_FOUND, told)
    rows = ", ".join(map(str, shared.rows[:LISTED]))
    return Diagnosis(
        name, FOUND, f"{told}; rows {rows}{', ...' if len(shared.rows) > LISTED else ''}",
        'give what belongs together one value in a column "group": it is held out together',
    )  # fmt: skip
