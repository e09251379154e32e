"""`self_test`: a run looked through before its first step."""

from __future__ import annotations

import torch

from workbench.errors import WorkbenchError
from workbench.runs.prepare import Parts
from workbench.runs.self_test.checks import (
    Scored,
    dropout,
    log_ratios,
    loss_and_gradients,
    rewards,
)
from workbench.runs.self_test.result import Check, ReferenceCard, SelfTest
from workbench.runs.self_test.token_ends import first_tokens, last_tokens
from workbench.train.loop import TrainState
from workbench.train.model_lock import model_lock


def self_test(parts: Parts, state: TrainState) -> SelfTest:
    """Check a run before its first step, and leave it as it was.

    A few of its shortest rows are scored; first and last tokens are looked at in all rows.

    Raises:
        WorkbenchError: training would be wrong: rewards that are not 0, no gradient, or one in a
            weight that is not trained.
    """
    with model_lock(), torch.random.fork_rng(range(torch.cuda.device_count())):
        before = _random_states()
        checks, left_out = list[Check](), list[str]()
        if parts.method.rollouts:
            left_out.append("rewards, loss and gradients: the policy has written no rows yet")
        else:
            scored, ratios = Scored.of(parts), None
            if parts.reference is None:
                left_out.append(f"step-0 rewards: {parts.config.loss} compares with no reference")
            else:
                ratios = log_ratios(parts, scored)
                checks.append(rewards(parts, scored, ratios))
            checks += loss_and_gradients(parts, state, scored, ratios)
        drew = any(
            not torch.equal(one, other)
            for one, other in zip(before, _random_states(), strict=True)
        )  # fmt: skip
        checks.append(dropout(parts.model.policy, drew))
    if not parts.method.rollouts:
        checks.append(last_tokens(parts))
    found = SelfTest((*checks, first_tokens(parts)), tuple(left_out), _card(parts))
    for check in found.failed:
        if check.stops:
            raise WorkbenchError(f"the self-test before the first step failed: {check.text}")
    return found


def _random_states() -> list[torch.Tensor]:
    """Of the processor and of every GPU."""
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def _card(parts: Parts) -> ReferenceCard | None:
    config = parts.config
    if not parts.evaluator.beside:
        return None
    kept = "adapters switched off" if config.lora else "frozen copy"
    scored = config.reference or "live"
    return ReferenceCard(parts.model.name, parts.reference_hash, kept, scored, config.precision)
