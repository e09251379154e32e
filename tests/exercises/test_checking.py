"""The verdict that a learner gets, whatever the function does."""

import math
import re
import sys
import warnings

import numpy as np
import pytest
import torch

from workbench.errors import WorkbenchError
from workbench.exercises import EXERCISES, check, checking


@pytest.fixture(autouse=True)
def new_session(monkeypatch):
    """Nothing has failed yet."""
    monkeypatch.setattr(checking, "_failures", checking.Counter())


def named(name, answer):
    """A learner's function: `answer` is what it returns, or what is called with its inputs."""

    def function(*inputs):
        return answer(*inputs) if callable(answer) else answer

    function.__name__ = name
    return function


def verdict_on(answer, name="dpo_loss"):
    return check(named(name, answer))


def right_loss(pc, pr, rc, rr, beta):
    return torch.nn.functional.softplus(-beta * (pc - pr - rc + rr)).mean()


def raising(error):
    def fail(*inputs):
        raise error

    return fail


@pytest.mark.parametrize("given", [lambda x: x, 3, None, "dpo_loss", torch.tensor(1.0), object()])
def test_what_is_no_exercise_is_refused_with_the_names_that_are(given):
    with pytest.raises(WorkbenchError, match="accepted: functions called objective, "):
        check(given)


def test_right_is_said_in_one_word_and_a_sign():
    verdict = verdict_on(right_loss)
    assert verdict.passed
    assert verdict
    assert verdict.state == "right"
    assert str(verdict) == "✓ dpo_loss: right\nIt agrees with the target on 5 inputs."


@pytest.mark.parametrize(
    "stub", [None, ..., raising(NotImplementedError()), raising(NotImplementedError)]
)
@pytest.mark.parametrize("name", EXERCISES)
def test_stub_is_not_yet_right_and_not_wrong_either(name, stub):
    for _ in range(4):
        verdict = verdict_on(stub, name)
        assert verdict.state == "not yet"
        assert not verdict.passed
        assert not verdict
        assert not verdict.hint
    assert verdict._repr_html_().count("<div") == 2


def test_not_yet_keeps_what_torch_cannot_do():
    verdict = verdict_on(lambda *inputs: torch.ones(3, dtype=torch.bool).softmax(-1))
    assert verdict.state == "not yet"
    assert "not implemented for 'Bool'" in verdict.reason


def test_missing_return_is_asked_for():
    assert verdict_on(None).reason == "It returned None. Is a return missing?"


def test_wrong_value_shows_inputs_target_and_yours():
    verdict = verdict_on(lambda *inputs: 2 * right_loss(*inputs))
    titles = [title for title, _ in verdict.rows]
    parameters = ["policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected"]
    assert titles == [*parameters, "beta", "target", "yours"]
    values = dict(verdict.rows)
    target, yours = float(values["target"]), float(values["yours"])
    assert yours == pytest.approx(2 * target, rel=1e-3)
    assert values["beta"] == "0.5"
    assert re.fullmatch(r"\[-?[\d.]+, -?[\d.]+, -?[\d.]+\]", values["policy_chosen"])
    assert verdict.reason == f"The difference is {target:.4g}."
    assert "✗ dpo_loss: not right" in str(verdict)


def test_difference_is_located():
    def one_off(pc, pr, rc, rr, beta):
        values = (beta * (pc - pr - rc + rr)).sigmoid()
        values[1] -= 0.25
        return values

    verdict = verdict_on(one_off, "preference_from_policies")
    assert verdict.reason == ("1 of 3 values is different; the largest difference is 0.25, at [1].")


def test_wrong_positions_of_a_mask_are_counted():
    verdict = verdict_on(lambda p, c, width: torch.arange(width) >= p, "completion_mask")
    assert verdict.reason == "3 of 8 values are different; the first is at [5]."


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        (
            "dpo_loss",
            "0.69",
            r"returned str, which can't .* expected: numbers of shape \(\)",
        ),
        ("dpo_loss", {"loss": 1.0}, "returned dict"),
        ("dpo_loss", [1.0, "a"], "returned list"),
        ("dpo_loss", [[1.0], [1.0, 2.0]], "returned list"),
        ("dpo_loss", 1 + 2j, "returned complex"),
        ("dpo_loss", torch.tensor(1j), "returned Tensor"),
        ("dpo_loss", torch.empty((), device="meta"), "returned Tensor"),
        ("dpo_loss", 10**400, "returned int"),
        ("dpo_loss", (value for value in [1.0]), "returned generator"),
        ("dpo_loss", [0.5], r"Its shape is \(1,\); expected: numbers of shape \(\)"),
        ("dpo_loss", [], r"Its shape is \(0,\)"),
        ("dpo_loss", math.nan, "It is nan"),
        ("dpo_loss", -math.inf, "It is -inf"),
        ("preference_probability", [0.1, math.nan, 0.2], r"1 of 3 values is not finite.* at \[1\]"),
        ("preference_probability", [[0.1, 0.2, 0.3]], r"Its shape is \(1, 3\); .* shape \(3,\)"),
        (
            "completion_mask",
            [0, 0, 0, 1, 1, 0, 0, 0],
            "numbers; expected: True and False",
        ),
        ("completion_mask", [True], r"Its shape is \(1,\); .* True and False of shape \(8,\)"),
    ],
)
def test_wrong_type_or_shape_is_said_in_words(name, answer, words):
    verdict = verdict_on(answer, name)
    assert verdict.state == "not right"
    assert re.search(words, verdict.reason)


@pytest.mark.parametrize(
    "kind",
    [
        lambda value: value.item(),
        lambda value: value.numpy(),
        lambda value: value.float(),
        lambda value: value.clone().requires_grad_(),
    ],
)
def test_tensors_arrays_and_numbers_are_all_read(kind):
    assert verdict_on(lambda *inputs: kind(right_loss(*inputs))).passed


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda values: values.tolist()])
def test_lists_are_read(kind):
    assert verdict_on(lambda c, r: kind((c - r).sigmoid().numpy()), "preference_probability").passed


class Hostile:
    """Raises at every touch."""

    def __getattr__(self, name):
        raise SystemExit

    def __array__(self, *args, **kwargs):
        raise SystemExit

    __len__ = __iter__ = __float__ = __str__ = __repr__ = __eq__ = __bool__ = __array__
    __hash__ = None


class SilentError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (raising(ValueError("a\nb")), "It stopped in line 2 with ValueError: a b."),
        (raising(SystemExit(3)), "It stopped in line 2 with SystemExit: 3."),
        (raising(MemoryError()), "It stopped in line 2 with MemoryError."),
        (raising(SilentError()), "It stopped in line 2 with SilentError."),
        (raising(ExceptionGroup("two", [ValueError(), TypeError()])), "ExceptionGroup: two"),
        (lambda: 1.0, "It stopped in line 2 with TypeError: "),
        (lambda *inputs: sys.exit("bye"), "It stopped in line 2 with SystemExit: bye."),
        (lambda *inputs: Hostile(), "It returned Hostile, which can't be read"),
        (raising(ValueError("x" * 10_000)), "x" * 100 + " …"),
    ],
)  # fmt: skip
def test_nothing_that_a_function_does_comes_out(answer, words):
    verdict = verdict_on(answer)
    assert verdict.state == "not right"
    assert words in verdict.reason
    assert "\n" not in verdict.reason
    assert len(verdict.reason) < 500
    assert [title for title, _ in verdict.rows][-1] == "target"


def test_endless_recursion_comes_to_an_end():
    def dpo_loss(*inputs):
        return dpo_loss(*inputs)

    assert "RecursionError" in check(dpo_loss).reason


def test_interruption_from_the_keyboard_is_let_through():
    with pytest.raises(KeyboardInterrupt):
        verdict_on(raising(KeyboardInterrupt()))


def test_exception_names_its_line():
    def dpo_loss(policy_chosen, *others):
        margin = policy_chosen
        return margin + missing  # noqa: F821

    assert check(dpo_loss).reason == (
        "It stopped in line 3 with NameError: name 'missing' is not defined."
    )


def test_writing_over_the_inputs_harms_nobody():
    def spoiled(pc, pr, rc, rr, beta):
        value = right_loss(pc, pr, rc, rr, beta)
        for column in (pc, pr, rc, rr):
            column.fill_(math.nan)
        return value

    assert verdict_on(spoiled).passed
    assert verdict_on(right_loss).passed
    assert "nan" not in str(verdict_on(lambda *inputs: spoiled(*inputs) + 1))


def test_warnings_are_no_mistakes_and_do_not_reach_stderr(capsys):
    def warning(*inputs):
        warnings.warn("about to be renamed", DeprecationWarning, stacklevel=1)
        return right_loss(*inputs)

    assert verdict_on(warning).passed
    assert capsys.readouterr().err == ""


PAIRS_AS_ROWS = [
    lambda pair: [(pair[0], pair[1], np.True_), (pair[0], pair[2], np.False_)],
    lambda pair: [[pair[0], pair[1], 1], [pair[0], pair[2], 0]],
]


@pytest.mark.parametrize("rows_of", PAIRS_AS_ROWS)
def test_rows_are_read_with_labels_of_other_types(rows_of):
    def kto_rows(pairs):
        return [row for pair in pairs for row in rows_of(pair)]

    assert check(kto_rows).passed


def test_rows_within_rows_are_called_that():
    def kto_rows(pairs):
        return [((prompt, good, True), (prompt, bad, False)) for prompt, good, bad in pairs]

    assert check(kto_rows).reason.startswith(
        "It returned list, whose rows can't be read; expected: rows such as ('How was it?',"
    )
