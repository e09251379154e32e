"""Win rate of one model over another, with its interval, raw and at equal length.

The rate is the share of answers that a judge prefers, ties as half. Many judges prefer longer
answers, so a second rate estimates what it would be at equal length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from workbench.compare.handle_sources import handles
from workbench.compare.judging.judges import Judge, Outcomes, Values
from workbench.compare.model_handles import ModelHandle
from workbench.compare.streams import check_contrast
from workbench.core.metrics import win_interval
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run

Z = 1.96
PRIOR = 5.0  # standard deviation of constant and slope on the log-odds scale; 5 is 0.993 to 0.007
NEWTON_STEPS = 50
CLOSE = 1e-10
UNKNOWN = (float("nan"), 0.0, 1.0)


@dataclass(frozen=True)
class WinRate:
    """How often A beats B, in shares from 0 to 1; intervals are 95%.

    Attributes:
        wins, ties, losses: of A; `unjudged` answers, without a verdict, count in no share.
        rate, low, high: share of wins with ties as half. Without any verdict: NaN, 0 and 1.
        controlled, controlled_low, controlled_high: the rate at equal length.
        length_a, length_b: mean number of words.
        prompts: how many different prompts were judged.
    """

    wins: int
    ties: int
    losses: int
    unjudged: int
    rate: float
    low: float
    high: float
    controlled: float
    controlled_low: float
    controlled_high: float
    length_a: float
    length_b: float
    prompts: int


def win_rate(outcomes: Outcomes) -> WinRate:
    """How often A beats B, with intervals for new prompts of the same kind.

    The interval is that of `core.metrics.win_interval` (Bonett & Price 2012). Answers to one prompt
    may be correlated, so where prompts repeat, all counts are divided by the design effect: the
    variance between prompts over that of independent answers (Kish 1965; Miller 2024, on clustered
    errors in comparing language models). With ten prompts or fewer, the interval holds for these
    prompts rather than for new ones.

    Raises:
        WorkbenchError: there are no outcomes.
    """
    if not len(outcomes):
        raise WorkbenchError("there are no outcomes; at least one is needed")
    judged = ~np.isnan(outcomes.scores)
    scores = outcomes.scores[judged]
    prompts = [prompt for prompt, known in zip(outcomes.prompts, judged, strict=True) if known]
    wins, losses = int((scores > 0.5).sum()), int((scores < 0.5).sum())
    count = len(scores)
    effect = design_effect(scores, prompts)
    low, high = win_interval(wins / effect, losses / effect, count / effect)
    difference = (outcomes.lengths_a - outcomes.lengths_b)[judged]
    controlled = UNKNOWN
    if count:
        controlled = controlled_rate(scores, difference, _weight(wins, losses, count) / effect)
    return WinRate(
        wins, count - wins - losses, losses, len(outcomes) - count,
        float(scores.mean()) if count else UNKNOWN[0], low, high,
        controlled[0], controlled[1], controlled[2],
        float(outcomes.lengths_a.mean()), float(outcomes.lengths_b.mean()), len(set(prompts)),
    )  # fmt: skip


def design_effect(scores: Values, prompts: Sequence[str]) -> float:
    """Variance of the mean of `scores` (answer,) clustered by prompt, over that unclustered.

    1 where no prompt repeats. Values below 1 are noise, and count as 1.
    """
    groups, members = np.unique(np.asarray(prompts, dtype=object), return_inverse=True)
    count = len(groups)
    if count < 2 or count == len(scores):
        return 1.0
    errors = scores - scores.mean()
    alone = float((errors**2).sum())
    together = float((np.bincount(members, errors, count) ** 2).sum()) * count / (count - 1)
    return max(1.0, together / alone) if alone else 1.0


def _weight(wins: int, losses: int, count: int) -> float:
    """The weight of one answer relative to an answer without ties; above 1 where there are ties.

    The variance of a share over that of `win_interval`, so that both intervals agree where length
    has no effect.
    """
    won, lost = (wins + 1) / (count + 2), (losses + 1) / (count + 2)
    rate = (1 + won - lost) / 2
    return 4 * rate * (1 - rate) / (won + lost - (won - lost) ** 2)


def controlled_rate(
    scores: Values, difference: Values, weight: float = 1.0
) -> tuple[float, float, float]:
    """The win rate at equal length, with its 95% interval.

    A logistic regression of the score on a constant and the length difference; the sigmoid of the
    constant is the rate at difference 0 (Dubois et al. 2024, length-controlled AlpacaEval).
    Simpler than theirs: no term for the difficulty of a prompt, which takes many models to
    estimate; the difference enters linearly and not through tanh; and it is divided by its root
    mean square instead of its standard deviation, which is 0 where all differences are equal.

    Constant and slope have a normal prior around 0, so that the result stays finite where A wins
    always, or where length separates wins from losses; the interval is normal on the log-odds
    scale. Where A is longer in every pair, the rate is extrapolated, and the interval is wide.

    Args:
        scores: (answer,) 1, 1/2 or 0.
        difference: (answer,) length of A minus length of B, in any unit.
        weight: of each answer.
    """
    size = float(np.sqrt((difference**2).mean()))
    design = np.stack([np.ones_like(difference), difference / (size or 1.0)])  # (term, answer)
    precision = np.eye(2) / PRIOR**2
    terms = np.zeros(2)  # constant and slope
    for _ in range(NEWTON_STEPS):
        expected = _sigmoid(terms @ design)
        gradient = weight * design @ (scores - expected) - precision @ terms
        curvature = weight * (design * expected * (1 - expected)) @ design.T + precision
        step = np.linalg.solve(curvature, gradient)
        # Where A wins nearly always, the parabola is flat and its top far: step at most one unit.
        terms = terms + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < CLOSE:
            break
    error = float(np.sqrt(np.linalg.inv(curvature)[0, 0]))
    ends = np.array([terms[0], terms[0] - Z * error, terms[0] + Z * error])
    rate, low, high = _sigmoid(ends).tolist()
    return rate, low, high


def _sigmoid(values: Values) -> Values:
    return 0.5 + 0.5 * np.tanh(values / 2)  # never overflows, and exactly symmetric


def judge_models(
    run_or_handles: Run | Sequence[ModelHandle],
    prompts: Sequence[str],
    judges: Sequence[Judge],
    sampling: SamplingConfig | None = None,
) -> Judged:
    """Let both models answer the prompts once, with the same seed, and every judge compare them.

    Args:
        run_or_handles: a run, whose policy is A and whose reference is B; or two models, A first.
        prompts: held-out ones; a prompt that is repeated is answered as often.
        judges: at least one; all of them see the same answers.
        sampling: by default at temperature 1, at which DPO's objective is defined.
    """
    if not prompts:
        raise WorkbenchError("prompts is empty; at least one is needed")
    names = [judge.name for judge in judges]
    if not names or len(set(names)) < len(names):
        given = ", ".join(names) or "none"
        raise WorkbenchError(f"judges are needed, each with different names; given: {given}")
    if isinstance(run_or_handles, Run):
        models: Sequence[ModelHandle] = handles(run_or_handles)[::-1]
        sampling = sampling or run_or_handles.estimate_sampling
    else:
        models = run_or_handles
    if len(models) != 2:
        raise WorkbenchError(f"{len(models)} models were given; accepted: two")
    sampling = sampling or SamplingConfig()
    check_contrast(models, sampling)
    answers = [handle.answer(prompts, sampling) for handle in models]
    return Judged(
        (models[0].name, models[1].name), {judge.name: judge(prompts, *answers) for judge in judges}
    )


@dataclass(frozen=True)
class Judged:
    """`names` of A and B, and the outcomes by the judge's name."""

    names: tuple[str, str]
    outcomes: Mapping[str, Outcomes]

    def first(self, count: int) -> Judged:
        """Only the first `count` answers."""
        return Judged(self.names, {name: one.first(count) for name, one in self.outcomes.items()})


def rates_frame(judged: Judged) -> pd.DataFrame:
    """Tidy: one row per judge, with its name, the fields of `WinRate`, `a`, `b` and `notes`."""
    rows = [
        {
            "judge": name,
            **asdict(win_rate(outcomes)),
            "a": judged.names[0],
            "b": judged.names[1],
            "notes": ", ".join(f"{note} {count}" for note, count in outcomes.notes.items()),
        }
        for name, outcomes in judged.outcomes.items()
    ]
    return pd.DataFrame(rows)
