"""How often something is repeated: its rate, and its share of all time."""

from __future__ import annotations

import pytest

from workbench.view.throttle import Throttle


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_throttle_keeps_to_its_rate() -> None:
    clock = Clock()
    throttle = Throttle(rate=5, share=0.04, clock=clock)
    clock.now = 100.0
    assert throttle.due()
    with throttle.measure():
        clock.now = 100.001
    clock.now = 100.19
    assert not throttle.due()
    clock.now = 100.2
    assert throttle.due()


def test_a_slow_repetition_delays_the_next() -> None:
    clock = Clock()
    throttle = Throttle(rate=5, share=0.04, burst=0.0, clock=clock)
    clock.now = 100.0
    with throttle.measure():
        clock.now = 100.02  # 20 ms are 4% of 500 ms
    clock.now = 100.49
    assert not throttle.due()
    clock.now = 100.51
    assert throttle.due()


def test_a_repetition_that_fails_counts_too() -> None:
    throttle = Throttle(rate=1)
    with pytest.raises(ZeroDivisionError), throttle.measure():
        1 / 0  # noqa: B018
    assert not throttle.due()


@pytest.mark.parametrize("cost", [0.001, 0.008, 0.05, 0.5])
def test_repetitions_never_take_more_than_their_share(cost: float) -> None:
    clock, spent = Clock(), 0.0
    throttle = Throttle(rate=5, share=0.04, burst=0.1, clock=clock)
    while clock.now < 100:
        if throttle.due():
            with throttle.measure():
                clock.now += cost
            spent += cost
        clock.now += 0.01
    assert spent <= 0.04 * 100 + 0.1 + cost
    assert spent >= min(0.04 * 100, 5 * cost * 100) * 0.8
