"""An older checkpoint is the run as it was then, and going through all of them loads it once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from workbench.compare.handle_sources import open_handles
from workbench.errors import WorkbenchError
from workbench.models.load import model_hash
from workbench.runs import reopen as module
from workbench.runs.reopen import load_run, walk_checkpoints
from workbench.runs.run import Run
from workbench.train.events import CheckpointEvent, EvalEvent

MakeRun = Callable[..., Run]


def test_each_checkpoint_is_the_run_as_it_was(
    make_recorded: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, hashes, said = make_recorded(checkpoint_every=4, lora=2), {}, {}
    for event in run:
        if isinstance(event, CheckpointEvent):
            hashes[run.step], said[run.step] = model_hash(run.policy), list(run.events[:-1])
    loaded = []
    prepare = module.prepare
    monkeypatch.setattr(module, "prepare", lambda *a, **k: loaded.append(a) or prepare(*a, **k))
    for early, step in zip(walk_checkpoints(run.folder), hashes, strict=True):
        assert early.step == step
        assert model_hash(early.policy) == hashes[step]
        assert early.events == said[step]
        evaluated = [e for e in early.events if isinstance(e, EvalEvent) and e.step == step]
        assert early.evaluate() == evaluated[-1].metrics
    assert len(loaded) == 1
    assert model_hash(load_run(run.folder, step=4).policy) == hashes[4]


def test_the_settings_of_a_checkpoint_hold(make_recorded: MakeRun) -> None:
    run = make_recorded(checkpoint_every=4)
    for event in run:
        if isinstance(event, CheckpointEvent):
            run.control.set(beta=0.7)
    assert load_run(run.folder, step=4).settings.beta == run.config.beta
    assert load_run(run.folder).settings.beta == 0.7
    state = run.folder / "checkpoints" / "step-000010" / "state.json"
    assert json.loads(state.read_text())["settings"]["beta"] == 0.7


def test_a_step_without_a_checkpoint_names_those_that_are_there(make_recorded: MakeRun) -> None:
    run = make_recorded(checkpoint_every=4)
    list(run)
    with pytest.raises(WorkbenchError, match="no checkpoint of step 5; it has 4, 8, 10"):
        load_run(run.folder, step=5)


def test_without_a_checkpoint_no_model_is_loaded(
    make_recorded: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_recorded().folder
    monkeypatch.setattr(module, "prepare", lambda *a, **k: pytest.fail("nothing to load it for"))
    for ask in (load_run, lambda folder: next(walk_checkpoints(folder)), open_handles):
        with pytest.raises(WorkbenchError, match="no checkpoint yet"):
            ask(folder)


def test_whoever_is_compared_becomes_a_writer(make_recorded: MakeRun) -> None:
    run = make_recorded()
    list(run)
    folder, model = str(run.folder), run.config.model
    assert [w.name for w in open_handles(folder)] == ["reference", "policy"]
    assert [w.name for w in open_handles(model)] == [model]
    named = open_handles({"base": model, "mine": run, "again": folder})
    assert [w.name for w in named] == ["base", "mine", "again"]
    assert named[1].model is run.policy
    assert open_handles(named) == named
    assert open_handles(named[0]) == named[:1]
    with pytest.raises(WorkbenchError, match="each name once"):
        open_handles([named[0], named[0]])
    with pytest.raises(WorkbenchError, match="is unknown"):
        open_handles("no such model")
