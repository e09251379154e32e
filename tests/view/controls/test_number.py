"""A number control as Python sees it: exact values, refusals, values shown without an echo."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.view.controls.explorer import choice_slider
from workbench.view.controls.fields import number


def beta(value: float = 0.1) -> Any:
    return number(value, 0.001, 10.0, log=True, description="beta")


def heard(control: Any) -> list[float]:
    """The values that an observer is told of."""
    told: list[float] = []
    control.observe(lambda change: told.append(change["new"]), "value")
    return told


def test_observers_hear_of_each_change_as_a_float() -> None:
    control = beta()
    told = heard(control)
    control.set_state({"value": 3})  # as the browser sends 3.0
    control.value = 1 / 3
    assert told == [3.0, 1 / 3]
    assert all(type(value) is float for value in told)


@pytest.mark.parametrize("value", [50, 0.0, float("nan"), "0.2", True])
def test_what_is_out_of_range_is_refused_and_the_last_value_stays(value: Any) -> None:
    control = beta()
    with pytest.raises(WorkbenchError, match=r"beta must be from 0\.001 to 10, not"):
        control.value = value
    with pytest.raises(WorkbenchError, match="beta must be"):
        control.set_state({"value": value})
    assert control.value == 0.1


def test_whole_numbers() -> None:
    control: Any = number(3, 1, 1000, whole=True, description="epochs")
    assert type(control.value) is int
    told = heard(control)
    control.set_state({"value": 4.0})
    assert told == [4]
    assert type(control.value) is int
    with pytest.raises(WorkbenchError, match=r"a whole number from 1 to 1000, not 2\.5"):
        control.value = 2.5


def test_choices_are_all_that_is_accepted() -> None:
    control = choice_slider([0.03, 0.1, 1.0], 0.1, "rate")
    control.value = 0.03
    with pytest.raises(WorkbenchError, match=r"rate must be one of 0.03, 0.1, 1, not 0\.2"):
        control.value = 0.2


def test_a_shown_value_is_no_change_of_the_person() -> None:
    control = beta()
    told, sent = heard(control), list[Any]()
    control.send_state = lambda key: sent.append(key)
    control.show(0.25)
    assert (control.value, told, sent) == (0.25, [], ["value"])
    control.value = 0.5
    assert told == [0.5]
    control.show(50.0)  # of a run that was started elsewhere
    assert (control.value, control.max, told) == (50.0, 50.0, [0.5])


def test_a_narrower_range_moves_the_value_into_it() -> None:
    row: Any = number(7, 1, 10, whole=True, description="row")
    row.max = 3
    assert row.value == 3
