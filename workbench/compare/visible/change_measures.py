"""One row of figures of a policy beside its reference, on prompts that no pair asks about."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from workbench.compare.answers import measure, sample_answers
from workbench.compare.handle_sources import handles
from workbench.compare.judging.judges import WIN, Judge, Outcomes
from workbench.compare.visible.facts import TOKENS, Fact, is_right, read_facts
from workbench.core.metrics import mean_and_error, wilson_interval
from workbench.data.json_rows import read_json_rows
from workbench.generation.config import SamplingConfig
from workbench.runs.evaluate import PREFIX
from workbench.runs.run import Run

LONGEST = 120  # tokens of an answer
GREEDY = SamplingConfig(temperature=0, max_new_tokens=LONGEST)
AT_ONE = SamplingConfig(temperature=1, max_new_tokens=LONGEST)
SIDES = ("prompt", "after", "before")  # the policy is A
HELD_OUT = {"accuracy": "rewards/accuracies", "margin": "rewards/margins"}


def unseen_prompts(path: Path | None = None) -> list[str]:
    """Those of a JSONL file with `prompt`; by default forty-eight everyday questions of which none
    stands in the shipped pairs."""
    path = path or Path(str(files("workbench.data").joinpath("unseen_prompts.jsonl")))
    return [row["prompt"] for row in read_json_rows(path)]


def answers_before_and_after(run: Run, prompts: Sequence[str]) -> pd.DataFrame:
    """One row per prompt: `prompt`, and greedy answers of the reference, `before`, and of the
    policy as it is now, `after`."""
    samples = run.sample(list(prompts), GREEDY)
    columns = ["prompt", "before", "after"]
    return pd.DataFrame([(s.prompt, s.reference, s.policy) for s in samples], columns=columns)


def facts_before_and_after(run: Run, facts: Sequence[Fact] | None = None) -> pd.DataFrame:
    """One row per fact, by default of those that ship: `question`, greedy answers `before` and
    `after`, and whether they are right, `right_before` and `right_after`."""
    facts = read_facts() if facts is None else facts
    asked = SamplingConfig(temperature=0, max_new_tokens=TOKENS)
    answers = run.sample([fact.question for fact in facts], asked)
    frame = pd.DataFrame(
        {
            "question": [fact.question for fact in facts],
            "before": [answer.reference or "" for answer in answers],
            "after": [answer.policy for answer in answers],
        }
    )
    for side in ("before", "after"):
        rows = zip(frame[side], facts, strict=True)
        frame[f"right_{side}"] = [is_right(answer, fact.word) for answer, fact in rows]
    return frame


def measure_change(
    run: Run, answers: pd.DataFrame, facts: pd.DataFrame, judges: Sequence[Judge]
) -> dict[str, Any]:
    """What a run has changed by now, and what that cost.

    Args:
        run: of a language model.
        answers: of `answers_before_and_after`.
        facts: of `facts_before_and_after`.
        judges: each compares the answers without knowing whose they are.

    Returns:
        `told/JUDGE`, the share of prompts where the judge prefers the policy's answer, a tie being
        none, with `told/JUDGE_low`, the lower end of its Wilson interval; `words_before` and
        `words_after`; `kl` in nats per completion with its standard error `kl_se`, the exact KL of
        the next-token distributions summed along completions drawn at temperature 1, and the share
        of them that `ended` within `LONGEST` tokens; `facts_before` and `facts_after`; `accuracy`
        and `margin` on the held-out pairs.
    """
    row: dict[str, Any] = {}
    for judge in judges:
        share, low, _ = told(
            judge(*(list(answers[name]) for name in ("prompt", "after", "before")))
        )
        row |= {f"told/{judge.name}": share, f"told/{judge.name}_low": low}
    for side in ("before", "after"):
        row[f"words_{side}"] = float(answers[side].str.split().str.len().mean())
        row[f"facts_{side}"] = int(facts[f"right_{side}"].sum())
    row |= _distance(run, list(answers["prompt"]))
    held_out = run.evaluate()
    return row | {name: held_out.get(PREFIX + key) for name, key in HELD_OUT.items()}


def told(outcomes: Outcomes) -> tuple[float, float, float]:
    """The share of pairs in which A wins, and its 95% Wilson interval; ties are not won."""
    share = float((outcomes.scores == WIN).mean())
    return (share, *wilson_interval(share, len(outcomes)))


def _distance(run: Run, prompts: list[str]) -> dict[str, float]:
    reference, policy = handles(run)
    drawn = sample_answers(policy, prompts, AT_ONE)
    kl = measure({policy.name: drawn}, [reference, policy])["kl"]
    mean, error = mean_and_error(torch.tensor(kl.to_numpy()))
    ended = sum(answer.ended for answer in drawn) / len(drawn)
    return {"kl": mean, "kl_se": error, "ended": ended}
