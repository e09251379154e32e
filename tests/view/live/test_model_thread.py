"""One thread for all that uses models: who has it, who is its guest, who waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from workbench.generation.config import SamplingConfig
from workbench.view.live.model_thread import ModelThread
from workbench.view.live.worker import Worker
from workbench.view.live.writing import Draft, Writing

PATIENCE = 10


class Scribe:
    """Writes a letter whenever it is let; `threads` are those on which it did."""

    def __init__(self) -> None:
        self.let, self.threads = threading.Semaphore(0), set[str]()
        self.begun = threading.Event()

    def stream(self, prompts: Any, sampling: Any) -> Iterator[list[str]]:
        for count in range(1, 4):
            self.begun.set()
            assert self.let.acquire(timeout=PATIENCE)
            self.threads.add(threading.current_thread().name)
            yield ["a" * count]


class Question:
    """A writing, and what became of it."""

    def __init__(self) -> None:
        self.scribe, self.drafts, self.over = Scribe(), list[Draft](), threading.Event()
        self.writing = Writing([self.scribe], ["p"], SamplingConfig(), self.show)  # type: ignore[list-item]

    def show(self, draft: Draft) -> None:
        self.drafts.append(draft)
        if draft.state != "writing":
            self.over.set()

    def end(self) -> tuple[str, str]:
        assert self.over.wait(PATIENCE)
        return self.drafts[-1].state, self.drafts[-1].texts[0][0]


class Blank:
    """A screen that shows nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


def test_without_a_run_there_is_a_thread_of_its_own_and_only_one() -> None:
    thread = ModelThread.at_work()
    assert ModelThread.at_work() is thread
    question = Question()
    thread.write(question.writing)
    question.scribe.let.release(3)
    assert question.end() == ("finished", "aaa")
    assert question.scribe.threads == {ModelThread.THREAD}


def test_a_live_run_lends_its_thread_and_waits(fake_run: Any) -> None:
    stepped = threading.Event()
    run = fake_run(total=100_000, at={1: stepped.set})
    worker = Worker(lambda progress: run, Blank())
    worker.start()
    assert stepped.wait(PATIENCE)
    assert ModelThread.at_work() is worker
    question = Question()
    worker.write(question.writing)
    assert question.scribe.begun.wait(PATIENCE)
    step = run.step
    question.scribe.let.release(2)
    assert not question.over.wait(0.05)
    assert run.step == step
    question.scribe.let.release()
    assert question.end() == ("finished", "aaa")
    worker.call(stepped.clear)
    worker.stop()
    assert worker.join(PATIENCE)
    later = Question()  # after the end, too
    later.scribe.let.release(3)
    ModelThread.at_work().write(later.writing)
    assert later.end() == ("finished", "aaa")
    assert ModelThread.at_work() is worker


def test_a_live_run_waits_for_the_token_and_gives_up_the_rest(fake_run: Any) -> None:
    guest, question = ModelThread.at_work(), Question()
    guest.write(question.writing)
    question.scribe.let.release()
    assert question.scribe.begun.wait(PATIENCE)
    alive: list[str] = []

    def make(progress: Any) -> Any:
        alive.extend(t.name for t in threading.enumerate() if t.name == ModelThread.THREAD)
        return fake_run(total=2)

    worker = Worker(make, Blank())
    worker.start()
    question.scribe.let.release()
    assert worker.join(PATIENCE)
    assert question.end()[0] == "stopped"
    assert alive == [ModelThread.THREAD]
    assert guest.closed


def test_the_newest_question_counts() -> None:
    first, second, thread = Question(), Question(), ModelThread.at_work()
    thread.write(first.writing)
    assert first.scribe.begun.wait(PATIENCE)
    second.scribe.let.release(3)
    thread.write(second.writing)
    first.scribe.let.release()
    assert first.end() == ("stopped", "a")
    assert second.end() == ("finished", "aaa")


def test_what_was_cancelled_before_it_began_disturbs_nobody() -> None:
    first, second, thread = Question(), Question(), ModelThread.at_work()
    thread.write(first.writing)
    assert first.scribe.begun.wait(PATIENCE)
    second.writing.cancel()
    thread.write(second.writing)
    first.scribe.let.release(3)
    assert second.end() == ("stopped", "")
    assert first.end() == ("finished", "aaa")


def test_nobody_waits_for_a_thread_that_has_left() -> None:
    thread = ModelThread.at_work()
    waiting, late = Question(), Question()
    hold = threading.Event()
    thread.call(lambda: hold.wait(PATIENCE))
    thread.write(waiting.writing)
    thread.close()
    hold.set()
    assert waiting.end() == ("stopped", "")
    assert thread._thread is not None
    thread._thread.join(PATIENCE)
    thread.write(late.writing)
    assert late.end() == ("stopped", "")
    assert ModelThread.at_work() is not thread


def test_a_display_that_fails_costs_the_writing_but_not_the_thread() -> None:
    def fail(draft: Draft) -> None:
        raise OSError("the connection is gone")

    thread, question = ModelThread.at_work(), Question()
    thread.write(Writing([Scribe()], ["p"], SamplingConfig(), fail))  # type: ignore[list-item]
    question.scribe.let.release(3)
    thread.write(question.writing)
    assert question.end() == ("finished", "aaa")
