"""Compare a learner's function with its target on random inputs."""

from __future__ import annotations

import copy
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.exercises.registry import EXERCISES, Exercise, Inputs, Rows
from workbench.exercises.verdict import NOT_RIGHT, NOT_YET, RIGHT, Verdict, brief, one_line

# Wide enough for an answer in float32, far too narrow for another formula.
RELATIVE, ABSOLUTE = 1e-5, 1e-6
FAR_RELATIVE, FAR_ABSOLUTE = 1e-3, 1e-4  # sums of hundreds in float32: what overflows is far off
HINT_AFTER = 2  # failures

_failures: Counter[str] = Counter()  # per exercise since the last success


def check(function: Callable[..., object]) -> Verdict:
    """Compare a function with the exercise of its name, on several random inputs.

    Any failure of the function, even endless recursion or exit(), becomes part of the verdict; only
    an interruption from the keyboard is raised.

    Args:
        function: takes copies of the inputs in the order of the exercise, and returns a tensor, an
            array, a list or a number; where rows of texts are wanted, tuples in any order.

    Raises:
        WorkbenchError: there is no exercise of this name.

    >>> def preference_probability(chosen_reward, rejected_reward):
    ...     return (chosen_reward - rejected_reward).sigmoid()
    >>> check(preference_probability).passed
    True
    """
    name = getattr(function, "__name__", None)
    if not callable(function) or not isinstance(name, str) or name not in EXERCISES:
        given = name if isinstance(name, str) else type(function).__name__
        raise WorkbenchError(
            f"there is no exercise called {given!r}; accepted: functions called "
            + ", ".join(EXERCISES)
        )
    with warnings.catch_warnings():
        # Warnings between numpy and torch would cost points: nbgrader gives none to a cell that
        # writes to stderr.
        warnings.simplefilter("ignore")
        verdict = _verdict(EXERCISES[name], function)
    if verdict.passed:
        _failures[name] = 0
    elif verdict.state == NOT_RIGHT:
        _failures[name] += 1
        if _failures[name] >= HINT_AFTER:
            return replace(verdict, hint=EXERCISES[name].hint)
    return verdict


def _verdict(exercise: Exercise, function: Callable[..., object]) -> Verdict:
    """The verdict on the first inputs that go wrong, or on all of them; those in float32 last."""
    far = exercise.far
    near = [(inputs, "") for inputs in exercise.cases()]
    cases = near + [(inputs, far.reason) for inputs in far.cases()] if far else near
    for inputs, why in cases:
        target = exercise.target(*_copies(inputs, torch.float64))
        state, reason, yours = _answer(function, inputs, target, far=bool(why))
        if state == NOT_YET:
            return Verdict(exercise.name, NOT_YET, reason)
        if state == NOT_RIGHT:
            if why:
                reason = f"The formula is right, but not in float32 and far from 0. {reason} {why}"
            rows = [*zip(exercise.parameters, map(brief, inputs), strict=True)]
            rows += [("target", brief(target)), *([("yours", yours)] if yours else [])]
            return Verdict(exercise.name, NOT_RIGHT, reason, tuple(rows))
    return Verdict(exercise.name, RIGHT, f"It agrees with the target on {len(cases)} inputs.")


def _answer(
    function: Callable[..., object], inputs: Inputs, target: Tensor | Rows, far: bool
) -> tuple[str, str, str]:
    """State, reason and the learner's value as text, for one set of inputs."""
    try:
        answer = function(*_copies(inputs))
    except KeyboardInterrupt:
        raise
    except NotImplementedError as error:
        # Torch also raises it where an operation does not support a type: so keep its message.
        message = _message(error)
        empty = message == "NotImplementedError"
        return NOT_YET, "Nothing is written yet." if empty else message, ""
    except BaseException as error:  # exit() in a cell must not end the session
        return NOT_RIGHT, f"It stopped{_line(error, function)} with {_message(error)}.", ""
    if answer is None or answer is Ellipsis:
        return NOT_YET, f"It returned {answer}. Is a return missing?", ""
    try:
        if isinstance(target, Tensor):
            yours: Tensor | Rows = (numbers := _numbers(answer))
            reason = _difference(numbers, target, far)
        else:
            yours = _rows(answer)
            reason = _other_rows(yours, target)
        return (NOT_RIGHT, reason, brief(yours)) if reason else (RIGHT, "", "")
    except KeyboardInterrupt:
        raise
    except BaseException:  # reading an object may run the learner's code
        kind, what = one_line(type(answer).__name__), "which"
        if type(answer) in (list, tuple) and not isinstance(target, Tensor):
            what = "whose rows"
        return NOT_RIGHT, f"It returned {kind}, {what} can't be read; {_expected(target)}.", ""


def _copies(inputs: Inputs, dtype: torch.dtype | None = None) -> Inputs:
    """Copies of the inputs, which the function may change; floats as `dtype` where it is given."""
    copies = tuple(copy.deepcopy(value) for value in inputs)
    return tuple(
        value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
        for value in copies
    )


def _numbers(answer: object) -> Tensor:
    """An answer as a float64 or bool tensor; TypeError where it is neither."""
    if isinstance(answer, Tensor):
        tensor = answer.detach().cpu()
        if tensor.is_complex():
            raise TypeError
        return tensor if tensor.dtype == torch.bool else tensor.double()
    array = np.array(answer, order="C")
    if array.dtype.kind not in "bfiu":
        raise TypeError
    return torch.from_numpy(array if array.dtype.kind == "b" else array.astype(np.float64))


def _rows(answer: object) -> Rows:
    """An answer as rows of texts and truth values; TypeError where it is something else."""
    if not isinstance(answer, Iterable):
        raise TypeError
    rows = [tuple(bool(c) if isinstance(c, np.bool_) else c for c in row) for row in answer]
    if not all(type(cell) in (str, bool, int) for row in rows for cell in row):
        raise TypeError
    return rows


def _other_rows(yours: Rows, target: Rows) -> str:
    """Which rows are missing or too many, in words; empty where both hold the same ones."""
    for less, more, what in ((yours, target, "missing"), (target, yours, "too many")):
        if left := Counter(more) - Counter(less):
            number, first = left.total(), next(iter(left))
            return one_line(f"{number} of {len(more)} rows {_are(number)} {what}, such as {first}.")
    return ""


def _difference(yours: Tensor, target: Tensor, far: bool) -> str:
    """What is wrong with the answer, in words; empty where it is right."""
    if yours.shape != target.shape:
        return f"Its shape is {tuple(yours.shape)}; {_expected(target)}."
    if target.dtype == torch.bool:
        if yours.dtype != torch.bool:
            return f"It holds numbers; {_expected(target)}."
        wrong = yours != target
        return f"{_count(wrong)}; the first is {_first(wrong)}." if wrong.any() else ""
    return _distance(yours.double(), target, far)


def _distance(yours: Tensor, target: Tensor, far: bool) -> str:
    """Which numbers of the same shape differ, and by how much; empty where all are close."""
    gap = (yours - target).abs()
    absolute, relative = (FAR_ABSOLUTE, FAR_RELATIVE) if far else (ABSOLUTE, RELATIVE)
    wrong = ~(gap <= absolute + relative * target.abs())  # NaN is never close
    not_finite = wrong & ~yours.isfinite()
    if not wrong.any():
        return ""
    if not yours.ndim:
        return f"It is {yours.item()}." if not_finite else f"The difference is {gap.item():.4g}."
    if not_finite.any():
        return f"{_count(not_finite, 'not finite')}; the first is {_first(not_finite)}."
    largest = gap.max()
    return f"{_count(wrong)}; the largest difference is {largest:.4g}, {_first(gap == largest)}."


def _expected(target: Tensor | Rows) -> str:
    if not isinstance(target, Tensor):
        return f"expected: rows such as {target[0]}"
    kind = "True and False" if target.dtype == torch.bool else "numbers"
    return f"expected: {kind} of shape {tuple(target.shape)}"


def _count(wrong: Tensor, what: str = "different") -> str:
    number = int(wrong.sum())
    return f"{number} of {wrong.numel()} values {_are(number)} {what}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _first(wrong: Tensor) -> str:
    """Index of the first True."""
    return f"at {wrong.nonzero()[0].tolist()}"


def _message(error: BaseException) -> str:
    """Type and message of an exception on one line; even str(error) may raise."""
    try:
        message = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        message = ""
    return one_line(f"{type(error).__name__}: {message}").rstrip(": .")


def _line(error: BaseException, function: Callable[..., object]) -> str:
    """The line of the learner's function that raised an exception, where it is known."""
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    lines = [n for frame, n in traceback.walk_tb(error.__traceback__) if frame.f_code is code]
    return f" in line {lines[-1] - code.co_firstlineno + 1}" if lines else ""
