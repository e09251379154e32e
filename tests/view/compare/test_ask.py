"""Asking without a browser: buttons pressed in Python, models that cost nothing."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import Any

import pytest

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig
from workbench.view.compare import ask as asking
from workbench.view.compare.ask import Asking, ask_models
from workbench.view.live.model_thread import ModelThread
from workbench.view.live.worker import Worker

PATIENCE = 10
SHORT = SamplingConfig(max_new_tokens=8)


@pytest.fixture
def run(fake_run: Any) -> Any:
    """Writes "PROMPT: old words" and "PROMPT: new words"."""
    return fake_run()


@pytest.fixture
def view(run: Any) -> Asking:
    """Its models, of whom nothing was asked yet."""
    return ask_models(run.handles(), sampling=SHORT)


class Gate:
    """Holds a run's models before every word until they are let; `reached` when they wait."""

    def __init__(self, run: Any) -> None:
        self.reached, self._let = threading.Semaphore(0), threading.Semaphore(0)
        run.pause = self._wait

    def _wait(self) -> None:
        self.reached.release()
        assert self._let.acquire(timeout=PATIENCE)

    def let(self, words: int) -> None:
        """Let so many words be written, and wait until the next one is due."""
        for _ in range(words):
            assert self.reached.acquire(timeout=PATIENCE)
            self._let.release()

    def open(self) -> None:
        """From now on nothing is held."""
        self._let.release(1000)


def test_generate_writes_into_all_panes_and_marks_differences(view: Asking) -> None:
    view.prompt.value = "<img src=x onerror=y>"
    view.generate.click()
    assert view.join(PATIENCE)
    assert view.answers == {
        "reference": "<img src=x onerror=y>: old words",
        "policy": "<img src=x onerror=y>: new words",
    }
    assert view.draft.state == "finished"
    shown = view._html["answer"].value
    assert ">old</del>" in shown
    assert ">new</ins>" in shown
    assert "<img" not in shown + view.html
    assert "temperature 1 · seed 0 · longest answer 8" in view._html["asked"].value
    assert view.cease.disabled


def test_panes_fill_while_the_thread_writes(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.view.live.writing.RATE", 1e6)
    monkeypatch.setattr("workbench.view.live.writing.SHARE", 1e6)
    gate = Gate(run)
    view, shown = ask_models(run.handles()), []
    view._html["answer"].observe(lambda change: shown.append(dict(view.answers)), "value")
    view.ask("p")
    gate.let(3)  # a word of each, and the reference's second
    assert view.draft.state == "writing"
    assert not view.cease.disabled
    assert not view.join(0)
    gate.open()
    assert view.join(PATIENCE)
    policy = [texts["policy"] for texts in shown]
    assert policy == ["", "", "p:", "p: new", "p: new words", "p: new words"]


def test_stop_leaves_what_is_written(run: Any) -> None:
    gate = Gate(run)
    view = ask_models(run.handles())
    view.ask("p")
    gate.let(4)
    assert gate.reached.acquire(timeout=PATIENCE)
    view.cease.click()
    gate.open()
    assert view.join(PATIENCE)
    assert view.draft.state == "stopped"
    assert set(view.answers.values()) <= {"p: old", "p: new", "p: old words", "p: new words"}
    assert "stopped here" in view.html
    view.ask("q")
    assert view.join(PATIENCE)
    assert view.answers["policy"] == "q: new words"


def test_a_second_question_takes_the_place_of_the_first(run: Any) -> None:
    gate = Gate(run)
    view = ask_models(run.handles())
    view.ask("first")
    gate.let(1)
    assert gate.reached.acquire(timeout=PATIENCE)
    view.ask("second")
    gate.open()
    assert view.join(PATIENCE)
    assert view.answers["reference"] == "second: old words"
    assert view.draft.state == "finished"
    assert run.open == []


def test_what_cannot_be_asked_is_one_line_and_changes_nothing(view: Asking) -> None:
    view.ask("p")
    assert view.join(PATIENCE)
    before = view._html["answer"].value
    view.controls.widgets["beams"].value = 4
    view.generate.click()
    problem = view._html["problem"].value
    assert problem.count("wb-error") == 1
    assert "temperature=1 with beams=4 is not accepted" in problem
    assert "<details>" not in problem
    assert view._html["answer"].value == before
    with pytest.raises(WorkbenchError, match="beams=4"):
        view.join(PATIENCE)
    view.controls.widgets["beams"].value = 1
    view.ask(" ")
    assert "the prompt is empty" in view._html["problem"].value
    view.ask("q")
    assert view.join(PATIENCE)
    assert view._html["problem"].value == ""


def test_an_error_leaves_what_was_written(run: Any) -> None:
    words = iter([None, None, None])
    run.pause = lambda: next(words)
    view = ask_models(run.handles())
    view.ask("p")
    with pytest.raises(RuntimeError):
        view.join(PATIENCE)
    assert view.answers == {"reference": "p:", "policy": "p:"}
    assert 'data-state="failed"' in view.html
    assert "wb-error" in view.html
    view.ask("unanswerable")
    with pytest.raises(WorkbenchError, match="unanswerable"):
        view.join(PATIENCE)
    assert "Traceback" not in view._html["problem"].value


def test_three_writers_have_three_panes(run: Any) -> None:
    reference, policy = run.handles()
    handles = [replace(reference, name="base"), replace(policy, name="a <b>"), policy]
    view = ask_models(handles, "p")
    assert view.html.startswith("<p>Run this cell")
    view.ask()
    assert view.join(PATIENCE)
    assert list(view.answers) == ["base", "a <b>", "policy"]
    assert view.html.count("<section") == 3
    assert "a &lt;b&gt;" in view.html


# -- with a live run ------------------------------------------------------------------------------


class Blank:
    """A screen that shows nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


def test_a_live_run_waits_and_goes_on(fake_run: Any) -> None:
    began = threading.Event()
    run = fake_run(total=100_000, at={1: began.set})
    worker = Worker(lambda progress: run, Blank())
    worker.start()
    assert began.wait(PATIENCE)
    gate = Gate(run)
    view = ask_models(run.handles())
    view.ask("p")
    gate.let(3)
    step = run.step
    gate.open()
    assert view.join(PATIENCE)
    assert view.draft.state == "finished"
    assert step <= run.step
    assert not worker.over
    assert ModelThread.at_work() is worker


def test_stop_before_the_turn_has_come_takes_effect_at_once(fake_run: Any) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def make(progress: Any) -> Any:
        loading.set()
        assert go_on.wait(PATIENCE)
        return fake_run(total=1)

    worker = Worker(make, Blank())
    worker.start()
    assert loading.wait(PATIENCE)
    view = ask_models(fake_run().handles())
    view.ask("p")
    assert view.draft.state == "waiting"
    assert "waiting for its turn" in view.html
    view.stop()
    assert view.join(0)
    assert view.draft.state == "stopped"
    go_on.set()
    assert worker.join(PATIENCE)


def test_a_newer_run_gives_the_writing_up(run: Any, fake_run: Any) -> None:
    gate = Gate(run)
    view = ask_models(run.handles())
    view.ask("p")
    gate.let(1)
    worker = Worker(lambda progress: fake_run(total=1), Blank())
    worker.start()
    gate.open()
    assert worker.join(PATIENCE)
    assert view.join(PATIENCE)
    assert view.draft.state in ("stopped", "finished")
    view.ask("q")
    assert view.join(PATIENCE)
    assert view.answers["policy"] == "q: new words"


# -- how it is shown ------------------------------------------------------------------------------


class Shown:
    """What was displayed, the newest last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bundles: list[dict[str, Any]] = []
        monkeypatch.setattr(asking, "display", self._display)

    def _display(self, bundle: dict[str, Any], **how: Any) -> Any:
        self.bundles.append(bundle)
        return self if how.get("display_id") else None

    def update(self, bundle: dict[str, Any], **how: Any) -> None:
        self.bundles.append(bundle)


WIDGET = "application/vnd.jupyter.widget-view+json"


def test_shown_with_a_prompt_it_keeps_the_answers(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(monkeypatch)
    view = ask_models(run.handles(), "hello <b>")
    view._ipython_display_()
    first, last = shown.bundles
    assert WIDGET in first
    assert WIDGET in last
    assert "hello &lt;b&gt;: " in last["text/html"]
    assert ">new</ins>" in last["text/html"]
    assert "display: flex" in last["text/html"]  # no style sheet is needed
    view._ipython_display_()  # a second time there is nothing to wait for
    assert shown.bundles[2:] == [last]


def test_shown_without_a_prompt_it_says_what_to_do(
    view: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(monkeypatch)
    view._ipython_display_()
    (bundle,) = shown.bundles
    assert WIDGET in bundle
    assert "Run this cell" in bundle["text/html"]


def test_colab_gets_the_answers_without_a_widget(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    shown = Shown(monkeypatch)
    ask_models(run.handles(), "p")._ipython_display_()
    assert list(shown.bundles[-1]) == ["text/html"]
    assert "new</ins>" in shown.bundles[-1]["text/html"]


def test_a_real_run_writes_what_it_samples() -> None:
    world = ReviewsConfig(topics=4, pairs=32)
    shape = BaseConfig(dim=32, layers=1, heads=2, kv_heads=1, hidden_dim=64)
    config = TrainConfig(
        world=world, pairs_from="grammar", held_out=8, samples=2, max_steps=2, lr=3e-2,
        max_new_tokens=8,
    )  # fmt: skip
    run = Run.create(config, base=new_model(Reviews(world), shape))
    list(run)
    view = ask_models(run)
    view.ask(run.prompts[0])
    assert view.join(PATIENCE)
    (sample,) = run.sample(run.prompts[:1])
    assert view.answers == {"reference": sample.reference, "policy": sample.policy}
    assert view.draft.texts[0] != view.draft.texts[1]
