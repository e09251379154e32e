"""Texts while they are written: the same as those of `answer`, and nothing left on in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, pairwise

import pytest
import torch

from workbench.compare import model_handles
from workbench.compare.handle_sources import handles, open_handles
from workbench.compare.model_handles import ModelHandle
from workbench.compare.streams import stream_together
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run

SAMPLINGS = {
    "drawn": SamplingConfig(max_new_tokens=8, seed=5),
    "greedy": SamplingConfig(temperature=0, max_new_tokens=8, repetition_penalty=1.3),
    "beams": SamplingConfig(temperature=0, beams=3, max_new_tokens=8),
    "contrast": SamplingConfig(max_new_tokens=8, contrast_alpha=0.1, seed=2),
    "stop": SamplingConfig(max_new_tokens=12, stop=("e", "a ")),
}
KINDS = {
    "frozen copy": {},
    "adapters": {"lora": 2, "lr": 0.1},
    "bf16": {"precision": "bf16"},
    "adapters in bf16": {"lora": 2, "lr": 0.1, "precision": "bf16"},
}


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, make_run: Callable[..., Run]) -> Run:
    run = make_run(max_steps=4, **{"lr": 3e-2, **KINDS[request.param]})
    list(run)
    return run


@pytest.mark.parametrize("name", SAMPLINGS)
def test_streams_end_as_answers_and_take_turns(run: Run, name: str) -> None:
    prompts, sampling = run.prompts[:3], SAMPLINGS[name]
    asked = handles(run)
    wanted = tuple(handle.answer(prompts, sampling) for handle in asked)
    assert wanted[0] != wanted[1]
    states = list(stream_together(asked, prompts, sampling))
    assert states[-1] == wanted
    assert tuple(list(handle.stream(prompts, sampling))[-1] for handle in asked) == wanted
    turns = zip(*(handle.stream(prompts, sampling) for handle in asked), strict=False)
    assert next(iter(turns)) == states[0]
    if name in ("drawn", "greedy", "contrast"):
        assert len(states) > 4
        for before, after in pairwise(states):
            for old, new in zip(chain(*before), chain(*after), strict=True):
                assert new.startswith(old)


def test_between_steps_nothing_is_left_on(run: Run) -> None:
    reference, policy = handles(run)
    prompts, sampling = run.prompts[:2], SAMPLINGS["drawn"]
    weights = {name: weight.dtype for name, weight in run.policy.named_parameters()}
    tokens = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        wanted = run.policy.logits(tokens)
    for _ in stream_together([reference, policy], prompts, sampling):
        assert torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        assert {name: weight.dtype for name, weight in run.policy.named_parameters()} == weights
        with torch.no_grad():
            assert torch.equal(run.policy.logits(tokens), wanted)  # adapters are on


def test_weights_are_rounded_once_a_stream(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(max_steps=1, precision="bf16")
    made = []
    plain = model_handles.bf16_weights

    def counted(*arguments: object) -> object:
        made.append(arguments)
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(model_handles, "bf16_weights", counted)
    states = list(stream_together(handles(run), run.prompts[:2], SAMPLINGS["drawn"]))
    assert len(states) > 2
    assert len(made) == 2


def test_a_parked_reference_is_read_once_a_stream(make_run: Callable[..., Run]) -> None:
    run = make_run(max_steps=3, lr=3e-2)
    list(run)
    reference, policy = handles(run)
    prompts = run.prompts[:2]
    wanted = {name: policy.answer(prompts, one) for name, one in SAMPLINGS.items()}
    plain = reference.answer(prompts, SAMPLINGS["drawn"])
    run.reference.park()
    entered, around = [], reference.around

    @contextmanager
    def counted() -> Iterator[None]:
        entered.append(True)
        with around():
            yield

    reference = replace(reference, around=counted)
    policy = replace(policy, amateur=reference)
    *_, (texts, _) = stream_together([reference, policy], prompts, SAMPLINGS["drawn"])
    assert texts == plain
    assert len(entered) == 1
    for name, sampling in SAMPLINGS.items():
        assert policy.answer(prompts, sampling) == wanted[name]
        *_, last = policy.stream(prompts, sampling)
        assert last == wanted[name]
    assert next(reference.model.parameters()).is_meta


def test_a_stream_that_is_left_leaves_nothing_behind(make_run: Callable[..., Run]) -> None:
    run = make_run(max_steps=2)
    reference, _ = handles(run)
    run.reference.park()
    texts = reference.stream(run.prompts[:2], SAMPLINGS["drawn"])
    next(texts)
    texts.close()  # type: ignore[attr-defined]
    assert next(reference.model.parameters()).is_meta


def test_stop_strings_are_cut_and_end_a_row(make_run: Callable[..., Run]) -> None:
    _, policy = handles(make_run())
    prompts = ["review of the film"] * 8
    free = policy.answer(prompts, SamplingConfig(max_new_tokens=12, seed=1))
    stop = (" the ", ".")
    cut = policy.answer(prompts, SamplingConfig(max_new_tokens=12, seed=1, stop=stop))
    assert cut != free
    for whole, text in zip(free, cut, strict=True):
        starts = [whole.find(one) for one in stop if one in whole]
        assert text == whole[: min(starts, default=len(whole))]


def test_which_model_a_policy_is_contrasted_with(make_run: Callable[..., Run]) -> None:
    run = make_run(max_steps=3, lr=3e-2)
    list(run)
    reference, policy = handles(run)
    prompts = run.prompts[:3]
    plain = replace(SAMPLINGS["contrast"], contrast_alpha=0.0)
    contrasted = SAMPLINGS["contrast"]
    assert reference.answer(prompts, contrasted) == reference.answer(prompts, plain)
    assert policy.answer(prompts, contrasted) != policy.answer(prompts, plain)
    named = open_handles(
        {"a": replace(reference, amateur=None), "b": replace(policy, amateur=None)}
    )
    assert [handle.amateur and handle.amateur.name for handle in named] == [None, "a"]
    assert named[1].answer(prompts, contrasted) == policy.answer(prompts, contrasted)
    assert isinstance(named[0], ModelHandle)
