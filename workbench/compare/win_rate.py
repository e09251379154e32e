"""Is one model better than another? A win rate with an interval, with and without length.

The rate is the share of answers that a judge prefers, ties as half. Longer answers tend to win with
many judges, so beside it stands what the rate would be at equal length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from workbench.compare.judges import Judge, Outcomes, Values
from workbench.compare.model_handles import ModelHandle
from workbench.compare.open_handles import handles
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
        wins, ties, losses: of A; `unjudged` answers without a verdict are in no share.
        rate, low, high: share of wins with ties as half. Without any verdict: NaN, 0 and 1.
        controlled, controlled_low, controlled_high: the rate at equal length.
        length_a, length_b: mean number of words.
        prompts: how many different ones were judged.
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

    def __str__(self) -> str:
        counted = f"{self.wins} wins, {self.ties} ties, {self.losses} losses"
        return (
            f"win rate {self.rate:.3f} (95% {self.low:.3f} to {self.high:.3f}); at equal length "
            f"{self.controlled:.3f} ({self.controlled_low:.3f} to {self.controlled_high:.3f}); "
            + counted
            + (f", {self.unjudged} without a verdict" if self.unjudged else "")
        )


def win_rate(outcomes: Outcomes) -> WinRate:
    """How often A beats B, with intervals for prompts like these.

    The interval is that of `core.metrics.win_interval` (Bonett & Price 2012). Answers to one prompt
    may resemble each other, so where prompts repeat, all counts are divided by the design effect:
    how much larger the variance is between prompts than it would be for independent answers (Kish
    1965; Miller 2024, on clustered errors in comparing language models). With few prompts, ten
    or less, it holds for these prompts rather than for new ones.

    Raises:
        WorkbenchError: there are no outcomes.
    """
    if not len(outcomes):
        raise WorkbenchError("there are no outcomes; at least one is needed")
    judged = ~np.isnan(outcomes.scores)
    scores = outcomes.scores[judged]
    asked = [prompt for prompt, known in zip(outcomes.prompts, judged, strict=True) if known]
    wins, losses = int((scores > 0.5).sum()), int((scores < 0.5).sum())
    count = len(scores)
    effect = design_effect(scores, asked)
    low, high = win_interval(wins / effect, losses / effect, count / effect)
    difference = (outcomes.lengths_a - outcomes.lengths_b)[judged]
    controlled = UNKNOWN
    if count:
        controlled = controlled_rate(scores, difference, _worth(wins, losses, count) / effect)
    return WinRate(
        wins, count - wins - losses, losses, len(outcomes) - count,
        float(scores.mean()) if count else UNKNOWN[0], low, high,
        controlled[0], controlled[1], controlled[2],
        float(outcomes.lengths_a.mean()), float(outcomes.lengths_b.mean()), len(set(asked)),
    )  # fmt: skip


def design_effect(scores: Values, prompts: Sequence[str]) -> float:
    """Variance of the mean of `scores` (answer,) clustered by prompt, over that without; from 1 up.

    1 where no prompt repeats. Below 1 it is noise or luck, and is not claimed.
    """
    groups, members = np.unique(np.asarray(prompts, dtype=object), return_inverse=True)
    count = len(groups)
    if count < 2 or count == len(scores):
        return 1.0
    errors = scores - scores.mean()
    alone = float((errors**2).sum())
    together = float((np.bincount(members, errors, count) ** 2).sum()) * count / (count - 1)
    return max(1.0, together / alone) if alone else 1.0


def _worth(wins: int, losses: int, count: int) -> float:
    """How many answers without ties one answer is worth; above 1 where ties calm the mean.

    The variance of a share over that of `win_interval`, so that both intervals agree where length
    says nothing.
    """
    won, lost = (wins + 1) / (count + 2), (losses + 1) / (count + 2)
    rate = (1 + won - lost) / 2
    return 4 * rate * (1 - rate) / (won + lost - (won - lost) ** 2)


def controlled_rate(
    scores: Values, difference: Values, worth: float = 1.0
) -> tuple[float, float, float]:
    """The win rate at equal length, with its 95% interval.

    A logistic regression of the score on a constant and the length difference; the sigmoid of the
    constant is what would be at difference 0 (Dubois et al. 2024, length-controlled AlpacaEval).
    Simpler than theirs: no term for how hard a prompt is, which takes many models to estimate; the
    difference enters as it is and not through tanh; and it is divided by its root mean square
    instead of its standard deviation, which is 0 where one side is always as much longer.

    Constant and slope have a normal prior around 0, so that all wins, or lengths that tell wins
    from losses without error, give finite numbers; the interval is normal on the log-odds scale.
    Where A is longer in every pair, the answer is extrapolated, and the interval is wide.

    Args:
        scores: (answer,) 1, 1/2 or 0.
        difference: (answer,) length of A minus length of B, in any unit.
        worth: weight of each answer, see `win_rate`.
    """
    size = float(np.sqrt((difference**2).mean()))
    design = np.stack([np.ones_like(difference), difference / (size or 1.0)])  # (term, answer)
    precision = np.eye(2) / PRIOR**2
    found = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        expected = _sigmoid(found @ design)
        slope = worth * design @ (scores - expected) - precision @ found
        curvature = worth * (design * expected * (1 - expected)) @ design.T + precision
        step = np.linalg.solve(curvature, slope)
        # Where nearly all is won the parabola is flat and its top far away: at most one unit.
        found = found + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < CLOSE:
            break
    error = float(np.sqrt(np.linalg.inv(curvature)[0, 0]))
    ends = np.array([found[0], found[0] - Z * error, found[0] + Z * error])
    rate, low, high = _sigmoid(ends).tolist()
    return rate, low, high


def _sigmoid(values: Values) -> Values:
    return 0.5 + 0.5 * np.tanh(values / 2)  # never overflows, and mirrors exactly


def compare_models(
    run_or_handles: Run | Sequence[ModelHandle],
    prompts: Sequence[str],
    judges: Sequence[Judge],
    sampling: SamplingConfig | None = None,
) -> pd.DataFrame:
    """Tidy: one row a judge, with its name, the fields of `WinRate`, `a`, `b` and `notes`.

    Both models answer `prompts` once, with the same seed, and all judges see the same answers.

    Args:
        run_or_writers: a run, whose policy is A and whose reference is B; or two models, A first.
        prompts: held-out ones; a prompt that is there several times is answered as often.
        judges: at least one.
        sampling: at temperature 1 when left out, which is how the models were trained to write.
    """
    return rates_frame(judge_models(run_or_handles, prompts, judges, sampling))


def judge_models(
    run_or_handles: Run | Sequence[ModelHandle],
    prompts: Sequence[str],
    judges: Sequence[Judge],
    sampling: SamplingConfig | None = None,
) -> Judged:
    """What `compare_models` counts, answer by answer."""
    if not prompts:
        raise WorkbenchError("prompts is empty; at least one is needed")
    names = [judge.name for judge in judges]
    if not names or len(set(names)) < len(names):
        given = ", ".join(names) or "none"
        raise WorkbenchError(f"judges are needed, each with a name of its own; given: {given}")
    if isinstance(run_or_handles, Run):
        two: Sequence[ModelHandle] = handles(run_or_handles)[::-1]
        sampling = sampling or SamplingConfig(
            max_new_tokens=run_or_handles.shown_sampling.max_new_tokens
        )
    else:
        two = run_or_handles
    if len(two) != 2:
        raise WorkbenchError(f"{len(two)} models were given; accepted: two")
    sampling = sampling or SamplingConfig()
    check_contrast(two, sampling)
    answers = [handle.answer(prompts, sampling) for handle in two]
    return Judged(
        (two[0].name, two[1].name), {judge.name: judge(prompts, *answers) for judge in judges}
    )


@dataclass(frozen=True)
class Judged:
    """`names` of A and B, and what each judge said, by the judge's name."""

    names: tuple[str, str]
    outcomes: Mapping[str, Outcomes]

    def first(self, count: int) -> Judged:
        """The first `count` answers alone."""
        return Judged(self.names, {name: said.first(count) for name, said in self.outcomes.items()})


def rates_frame(judged: Judged) -> pd.DataFrame:
    """Tidy: one row a judge, see `compare_models`."""
    rows = [
        {
            "judge": name,
            **asdict(win_rate(said)),
            "a": judged.names[0],
            "b": judged.names[1],
            "notes": ", ".join(f"{what} {count}" for what, count in said.notes.items()),
        }
        for name, said in judged.outcomes.items()
    ]
    return pd.DataFrame(rows)
