"""A rollout is scored on the very tokens that the policy drew, end tokens included."""

from __future__ import annotations

from collections.abc import Callable

from workbench.core.rollouts import Rollout
from workbench.runs.run import Run

MakeRun = Callable[..., Run]
SMALL = {
    "method": "ppo", "loss": None, "rollout_size": 64, "batch_size": 16, "held_out": 5,
    "samples": 0, "layout": None, "max_new_tokens": 20,
}  # fmt: skip


def written(run: Run) -> Rollout:
    rollout = run._batches.next(run.policy)[0].rollout  # type: ignore[attr-defined]
    assert rollout is not None
    return rollout


def test_an_answer_ends_with_the_end_token_that_was_drawn(make_run: MakeRun) -> None:
    run = make_run(**SMALL)
    tokenizer = run.tokenizer
    (full_stop,) = tokenizer.encode(".")
    tokenizer.stop_ids = frozenset({tokenizer.eos_id, full_stop})
    answers = [list(answer) for _, answer in written(run).sequences]
    assert full_stop in {answer[-1] for answer in answers}
    for answer in answers:
        ends = [token in tokenizer.stop_ids for token in answer]
        assert not any(ends[:-1])
        assert ends[-1] or len(answer) == 20


def test_max_length_holds_for_answers_and_one_that_ended_keeps_its_end(make_run: MakeRun) -> None:
    whole = written(make_run(**SMALL))
    longest = max(len(prompt) for prompt, _ in whole.sequences)
    cut = written(make_run(**SMALL, max_length=longest + 6))
    for (prompt, one), (_, other) in zip(whole.sequences, cut.sequences, strict=True):
        assert list(other) == list(one)[: longest + 6 - len(prompt)]
