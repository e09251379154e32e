"""What a file holds whose columns are not those of pairs."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.data.completions import COLUMNS, WHOLE

BESIDE = {"system", "group", "tools"}  # columns that may stand beside any others


def other_kind(names: Iterable[str]) -> str:
    """What a file with columns of these names can be trained on with, in a line; empty where they
    may be those of pairs under other names.

    >>> other_kind(["prompt", "completion", "label"])
    'labelled completions: train with loss kto'
    >>> other_kind(["prompt", "answer"])
    'prompts only: needs ppo or grpo'
    >>> other_kind(["question", "best", "worst"])
    ''
    """
    found = set(names) - BESIDE
    prompt, completion, label = COLUMNS
    single = {prompt, completion} <= found or not found.isdisjoint(WHOLE)
    if single and label in found:
        return "labelled completions: train with loss kto"
    if single and len(found - {prompt, completion, *WHOLE}) < 2:
        return "completions without a rejected one: train with loss sft"
    if prompt in found and len(found) <= 2:  # a pair has two more
        return "prompts only: needs ppo or grpo"
    return ""
