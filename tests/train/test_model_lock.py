"""Models are used by one thread at a time, in the order in which the threads came."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from workbench.compare.handle_sources import handles
from workbench.compare.tokens import compare_tokens
from workbench.runs.run import Run
from workbench.train.events import StepEvent
from workbench.train.model_lock import model_lock


def test_whoever_waits_comes_before_who_has_had_a_turn() -> None:
    order: list[str] = []
    inside, waiting = threading.Event(), threading.Event()

    def other() -> None:
        inside.wait(10)
        waiting.set()
        with model_lock():
            order.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    for turn in range(50):
        with model_lock(), model_lock():  # again by the same thread
            inside.set()
            assert waiting.wait(10)
            if thread.is_alive() and turn == 0:
                thread.join(0.2)  # it now stands in line
            order.append("loop")
    thread.join(10)
    assert order.count("loop") == 50
    assert order.index("other") <= 2


@pytest.mark.parametrize("settings", [{"lora": 2}, {"precision": "bf16"}])
def test_looking_at_a_run_does_not_change_it(
    make_run: Callable[..., Run], settings: dict[str, object]
) -> None:
    def losses(run: Run) -> list[float]:
        return [event.metrics["loss"] for event in run if isinstance(event, StepEvent)]

    alone = losses(make_run(max_steps=12, **settings))
    run, found, stop = make_run(max_steps=12, **settings), [], threading.Event()
    pair = run.data.held_out[0]

    def look() -> None:
        while not stop.is_set():
            compare_tokens(*handles(run), pair.prompt, pair.chosen)
            found.append(run.held_out_frame())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        watched = losses(run)
    finally:
        stop.set()
        thread.join(20)
    assert found
    assert watched == alone
