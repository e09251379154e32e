"""Symptoms of how a run was set up: reference, learning rate, held-out set."""

from __future__ import annotations

from statistics import fmean

from workbench.core.metrics import wilson_interval
from workbench.runs.doctor.diagnosis import CANNOT_TELL, FOUND, NOT_FOUND, Diagnosis
from workbench.runs.doctor.logged_metrics import LOG_2, Readings

APART = 0.02  # nats, or units of reward, that rounding alone does not reach
LOGGED = 0.1  # the same of a reward that is logged after a few steps
MOVED = 0.1  # nats of margin; below it a run has hardly begun
FAR = 0.75  # nats of KL per token; sound runs of the tiny model end below 0.4
EARLY = 0.2  # of a run
SPIKE = 1.5  # of the training loss over where it began
BLAMED = ("loss", "logps", "rewards", "logratios")  # metrics that a large learning rate breaks
FEW, SOME = 20, 50  # held-out items: always too few, and too few where chance is not excluded


def other_reference(seen: Readings) -> Diagnosis:
    """Log-ratios that are not 0 before the first step."""
    name = "reference is not the start"
    if seen.compares is not True:
        why = "the loss compares with no reference" if seen.compares is False else "no rewards"
        return Diagnosis(name, CANNOT_TELL, f"{why} at the first step")
    found = _start(seen)
    if found is None:
        told = "nothing was measured at the start; log the first step, or evaluate before it"
        return Diagnosis(name, CANNOT_TELL, told)
    metric, step, value = found
    told = f"{metric} is {value:+.3g} at step {step}"
    if abs(value) <= (APART if step <= 1 else LOGGED):
        return Diagnosis(name, NOT_FOUND, told)
    return Diagnosis(
        name, FOUND, f"{told}; with the model that training starts from as reference it is 0",
        "make the reference of the same weights as the policy: load the fine-tuned model for both, "
        "and switch dropout off",
    )  # fmt: skip


def _start(seen: Readings) -> tuple[str, int, float] | None:
    """The log-ratio or reward of either side that is furthest from 0 at the start: metric, step and
    value; None where it was not measured."""
    for series, latest in ((seen.held_out, 0), (seen.training, 1)):
        for kind in ("logratios", "rewards"):
            names = [f"{kind}/{side}" for side in ("chosen", "rejected")]
            points = [(n, *series[n].points[0]) for n in names if n in series]
            points = [point for point in points if point[1] <= latest]
            if points:
                return max(points, key=lambda point: abs(point[2]))
    return _start_of_log(seen)


def _start_of_log(seen: Readings) -> tuple[str, int, float] | None:
    """The first logged reward, where it tells of the start: it is about 0, or it is further from 0
    than it ever gets from there, because no run covers most of its way before its log begins."""
    far, near = list[tuple[str, int, float]](), list[tuple[str, int, float]]()
    for name in ("rewards/chosen", "rewards/rejected"):
        rewards = seen.training.get(name)
        if rewards is None or len(rewards.points) < 3:
            return None
        step, value = rewards.points[0]
        if step > EARLY * max(seen.step, seen.total):
            return None
        if abs(value) <= LOGGED:
            near.append((name, step, value))
        elif abs(value) > max(abs(later - value) for later in rewards.values):
            far.append((name, step, value))
    if not far and len(near) < 2:
        return None
    return max(far or near, key=lambda point: abs(point[2]))


def large_learning_rate(seen: Readings) -> Diagnosis:
    """Values that are no number, a KL that jumps at once, a training loss above its start."""
    name = "learning rate too large"
    lr = seen.training.get("lr")
    now = f"{lr.highest[1]:.2g}" if lr is not None else "the present one"
    todo = f"lower the learning rate: a tenth of {now}, and a longer warm-up"
    broken = {f"{metric} is no finite number at step {step}": _is_lasting(seen, metric, step)
              for metric, step in seen.not_finite.items()}  # fmt: skip
    lasting = [told for told, lasts in broken.items() if lasts]
    if lasting:
        return Diagnosis(name, FOUND, lasting[0], todo)
    others = "".join(f"; {told}, which has other causes" for told in broken)
    later = [(value, step) for step, value in kl_per_token(seen) if step > 0]
    soon = [one for one in later if one[1] <= max(seen.warm_up + EARLY * seen.total, later[0][1])]
    value, step = max(soon, default=(0.0, 0))
    if value > FAR:
        told = f"the KL is {value:.2g} nats per token at step {step} of {seen.total}"
        return Diagnosis(name, FOUND, told, todo)
    loss = seen.training.get("loss")
    if loss is None or len(loss.points) < 10 or "rewards/margins" not in seen.training:
        return Diagnosis(
            name, CANNOT_TELL, f"no ten training losses of pairs, and no jump of the KL{others}"
        )
    # Of neighbours, so that a single hard batch does not count.
    size = max(3, len(loss.points) // 10)
    values, start = loss.values, max(loss.beginning, LOG_2 if _from_log_2(seen) else 0.0)
    windows = [fmean(values[i : i + size]) for i in range(len(values) - size + 1)]
    highest = max(windows)
    if 0 < SPIKE * start < highest:
        step = loss.points[windows.index(highest)][0]
        told = f"the training loss is {highest:.3g} around step {step}, after {start:.3g}"
        return Diagnosis(name, FOUND, told, todo)
    told = f"the training loss is at most {highest:.3g}, after {start:.3g}"
    return Diagnosis(name, NOT_FOUND, told + others)


def _is_lasting(seen: Readings, metric: str, step: int) -> bool:
    """Whether a value that is no number at this step tells of training gone wrong: a gradient that
    overflows once and is finite later does not, and other metrics have causes of their own."""
    if metric == "grad_norm":
        norms = seen.training.get(metric)
        return norms is None or norms.points[-1][0] < step
    return metric.partition("/")[0] in BLAMED


def _from_log_2(seen: Readings) -> bool:
    found = seen.either("loss")
    return found is not None and abs(found[0].first - LOG_2) < 0.02


def kl_per_token(seen: Readings) -> list[tuple[int, float]]:
    """(step, nats) of the evaluations' KL to the reference, over their mean length in
    tokens; none where it was measured once."""
    kl, lengths = seen.held_out.get("kl/policy_reference"), seen.held_out.get("samples/length")
    if kl is None or lengths is None:
        return []
    known = dict(lengths.points)
    found = [(step, value / known[step]) for step, value in kl.points if known.get(step, 0) >= 1]
    return found if len(found) > 1 else []


def small_learning_rate(seen: Readings) -> Diagnosis:
    """A margin that grows, but hardly."""
    name = "learning rate too small"
    margin = margin_in_nats(seen)
    if margin is None:
        return Diagnosis(name, CANNOT_TELL, "no margins of chosen over rejected were logged")
    value, where = margin
    told = f"the {where} margin has changed by {value:+.2g} nats by step {seen.step}"
    if abs(value) >= MOVED or has_moved(seen):
        return Diagnosis(name, NOT_FOUND, told)
    if seen.early:
        return Diagnosis(name, CANNOT_TELL, f"{told}, {seen.early}")
    if not learns(seen):
        return Diagnosis(
            name, CANNOT_TELL, f"{told}, and does not rise steadily: see stuck at log 2"
        )
    margins, interval = seen.training.get("rewards/margins"), accuracy_interval(seen)
    if margins is not None and margins.rises():
        how = "it rises steadily"
    else:
        assert interval is not None
        how = f"held-out accuracy is {interval[0]:.2f} to {interval[1]:.2f}, above chance"
    lr = seen.training.get("lr")
    rate = "" if lr is None else f" at {lr.highest[1]:.2g}"
    return Diagnosis(
        name, FOUND, f"{told}{rate}; {how}",
        "raise the learning rate tenfold, or train for longer",
    )  # fmt: skip


def margin_in_nats(seen: Readings) -> tuple[float, str] | None:
    """How far the chosen has come from the rejected, and where that was measured."""
    for kind in ("logratios", "logps"):
        chosen, rejected = (seen.ends(f"{kind}/{side}") for side in ("chosen", "rejected"))
        if chosen is not None and rejected is not None:
            return chosen[1] - chosen[0] - (rejected[1] - rejected[0]), chosen[2]
    return None


def has_moved(seen: Readings) -> bool:
    """Whether a side has left the reference, in whatever direction."""
    sides = [seen.held_out.get(f"logratios/{side}") for side in ("chosen", "rejected")]
    return any(side is not None and abs(side.last) >= MOVED for side in sides)


def learns(seen: Readings) -> bool:
    """Whether more held-out pairs are ranked rightly than by chance; where there are too few to
    tell, whether the training margin rises."""
    interval = accuracy_interval(seen)
    if interval is not None and (interval[0] > 0.5 or (seen.held_out_items or 0) >= SOME):
        return interval[0] > 0.5
    margins = seen.training.get("rewards/margins")
    return margins is not None and margins.rises()


def accuracy_interval(seen: Readings) -> tuple[float, float] | None:
    """The 95% interval of the held-out accuracy at the end, where it is known."""
    names = ("rewards/accuracies_low", "rewards/accuracies_high")
    low, high = (seen.held_out.get(name) for name in names)
    if low is not None and high is not None:
        return low.last, high.last
    accuracy = seen.held_out.get("rewards/accuracies")
    if accuracy is None or not seen.held_out_items or not 0 <= accuracy.last <= 1:
        return None
    return wilson_interval(accuracy.last, seen.held_out_items)


def small_evaluation(seen: Readings) -> Diagnosis:
    """Too few held-out items for the interval to mean anything."""
    name, todo = "evaluation too small", "hold out more rows: --held-out 60, or 200 to compare runs"
    if "rewards/accuracies" not in seen.held_out:
        paired = "rewards/accuracies" in seen.training
        none = seen.held_out_items == 0 or not seen.held_out
        every = seen.settings.get("eval_steps", 0)
        if seen.state != "finished" and (seen.step < every or (seen.epochs or 1) < 1):
            return Diagnosis(name, CANNOT_TELL, f"no evaluation yet at step {seen.step}")
        if paired and none and seen.step:
            what = "is held out" if seen.held_out_items == 0 else "held out was evaluated"
            told = f"nothing {what}: training metrics alone do not tell whether it generalises"
            return Diagnosis(name, FOUND, told, todo)
        return Diagnosis(name, CANNOT_TELL, "no held-out accuracy was measured")
    if seen.held_out_items is None:
        return Diagnosis(name, CANNOT_TELL, "how many rows are held out is not recorded")
    count, accuracy = seen.held_out_items, seen.held_out["rewards/accuracies"].last
    interval = accuracy_interval(seen)
    low, high = interval or (0.0, 1.0)
    told = f"accuracy {accuracy:.2f} of {count} held-out rows, 95% interval {low:.2f} to {high:.2f}"
    if count < FEW or (count < SOME and low <= 0.5 <= high):
        return Diagnosis(name, FOUND, told, todo)
    return Diagnosis(name, NOT_FOUND, told)
