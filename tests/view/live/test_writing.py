"""Texts while they are written: how often they are shown, and what is left when they end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from workbench.generation.config import SamplingConfig
from workbench.view.live.writing import Draft, Writing, reference_and_policies

SAMPLING = SamplingConfig()


@dataclass
class Scribe:
    """Writes the texts that it is given."""

    texts: list[str]

    def stream(self, prompts: Any, sampling: Any) -> Iterator[list[str]]:
        for text in self.texts:
            yield [text]


def written(*scribes: Any) -> tuple[Writing, list[Draft]]:
    drafts: list[Draft] = []
    return Writing(scribes, ["p"], SAMPLING, drafts.append), drafts


def test_at_most_ten_times_a_second_and_always_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("workbench.view.throttle.time.perf_counter", lambda: clock[0])
    writing, drafts = written(Scribe([f"{count}" for count in range(100)]))
    writing.begin()
    while writing.advance():
        clock[0] += 0.01
    # One at the begin, one each 0.1 s of the second that it takes, one at the end.
    assert 10 <= len(drafts) <= 12
    assert drafts[-1] == Draft((["99"],), "finished", cuts=([0],))
    assert {draft.state for draft in drafts[:-1]} == {"writing"}


def test_half_a_character_waits_for_its_other_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.view.live.writing.RATE", 1e9)
    monkeypatch.setattr("workbench.view.live.writing.SHARE", 1e9)
    writing, drafts = written(Scribe(["a\ufffd", "aé", "aé\ufffd"]))
    writing.begin()
    while writing.advance():
        pass
    assert [draft.texts[0][0] for draft in drafts] == ["", "a", "aé", "aé", "aé\ufffd"]


def test_cancelled_from_outside_ends_before_the_next_token() -> None:
    writing, drafts = written(Scribe(["a", "b", "c"]), Scribe(["x", "y", "z"]))
    writing.begin()
    assert writing.advance()
    writing.cancel()
    assert not writing.advance()
    assert drafts[-1] == Draft((["a"], ["x"]), "stopped")


def test_never_begun_it_can_be_stopped() -> None:
    writing, drafts = written(Scribe(["a"]))
    writing.stop()
    assert drafts == [Draft(([""],), "stopped")]


def test_samples_stand_beside_the_first_model() -> None:
    draft = Draft((["r1", "r2"], ["a1", "a2"], ["b1", "b2"]), "finished")
    first, second = draft.samples(["p1", "p2"], seed=3)
    assert [(s.prompt, s.reference, s.policy, s.seed) for s in first] == [
        ("p1", "r1", "a1", 3),
        ("p2", "r2", "a2", 3),
    ]
    assert [s.policy for s in second] == ["b1", "b2"]


def test_adapters_in_use_are_on_between_two_tokens(
    fake_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, branch = fake_run(), fake_run()
    asked = reference_and_policies([run, branch], [run, branch])
    assert [(one.name, one.own_model) for one in asked] == [
        ("reference", True),
        ("policy", True),
        ("policy", True),
    ]
    # A branch of a run with adapters: its reference is the run's policy, with these switched off.
    reference, policy = branch.handles()
    monkeypatch.setattr(branch, "handles", lambda: (replace(reference, model=run.policy), policy))
    assert not reference_and_policies([branch], [run, branch])[0].own_model
