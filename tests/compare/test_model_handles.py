"""Handles: their answers and log-probabilities are those of the run itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from workbench.compare.handle_sources import handles
from workbench.core.collation import collate
from workbench.core.logps import completion_logps
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run


@pytest.mark.parametrize("lora", [0, 2])
def test_policy_and_reference_answer_as_in_the_run(make_run: Callable[..., Run], lora: int) -> None:
    run = make_run(max_steps=3, lora=lora)
    list(run)
    reference, policy = handles(run)
    prompts, sampling = run.prompts[:3], SamplingConfig(max_new_tokens=8, seed=5)
    samples = run.sample(prompts, sampling)
    assert policy.answer(prompts, sampling) == [sample.policy for sample in samples]
    assert reference.answer(prompts, sampling) == [sample.reference for sample in samples]


def test_token_logps_add_up_to_the_completions(make_run: Callable[..., Run]) -> None:
    run = make_run(max_steps=3)
    list(run)
    pair = run.data.held_out[0]
    batch = collate([pair], 0)
    for handle in handles(run):
        sides = [(pair.prompt, pair.chosen), (pair.prompt, pair.rejected)]
        found = handle.token_logps(sides)
        assert [len(values) for values in found] == [len(pair.chosen), len(pair.rejected)]
        with handle.active() as model:
            wanted = completion_logps(model, batch)  # type: ignore[arg-type]
        torch.testing.assert_close(torch.stack([f.sum() for f in found]), wanted, atol=1e-4, rtol=0)
        every = handle.next_logps(*sides[0])
        torch.testing.assert_close(every.exp().sum(-1), torch.ones(len(pair.chosen)))
