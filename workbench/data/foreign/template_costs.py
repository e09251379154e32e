"""What the values of a chat template cost, and the filters, tests and methods that pay for theirs.

Each value costs its size before it is read or made. Filters, tests and methods that are not listed
here are not accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import length_hint
from types import GeneratorType
from typing import Any

from jinja2 import TemplateError, Undefined, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.utils import Namespace

AT_LEAST, PER_CHARACTER, AT_MOST = 1_000_000, 200, 30_000_000  # what a render may cost
CALL = 20  # cost of a call, a filter or a test beside the size of its values
WIDEST = 999  # characters that a format may pad to

# These look at how many there are, or hand on what they are given; all others read it whole.
SHALLOW = frozenset((
    "attr", "count", "d", "default", "first", "items", "last", "length", "list", "map", "reject",
    "rejectattr", "reverse", "select", "selectattr",
))  # fmt: skip
FILTERS = SHALLOW | frozenset((
    "abs", "capitalize", "center", "dictsort", "e", "escape", "float", "format", "groupby",
    "indent", "int", "join", "lower", "max", "min", "replace", "safe", "sort", "string", "sum",
    "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
))  # fmt: skip
COMPARING = frozenset((
    "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", ">=", "ge", "<", "lt", "lessthan",
    "<=", "le", "in", "lower", "upper",
))  # fmt: skip
DIVIDING = frozenset(("divisibleby", "even", "odd"))  # of a text, they would fill in a format
METHODS: dict[type, frozenset[str]] = {
    str: frozenset((
        "capitalize", "casefold", "center", "count", "endswith", "find", "format", "format_map",
        "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier",
        "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "join", "ljust",
        "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind",
        "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith",
        "strip", "swapcase", "title", "upper", "zfill",
    )),
    dict: frozenset(("copy", "get", "items", "keys", "values")),
    list: frozenset(("copy", "count", "index")),
    tuple: frozenset(("count", "index")),
}  # fmt: skip
SIZED = frozenset((list, tuple, type({}.items()), type({}.keys()), type({}.values())))
PADDING = frozenset(("center", "ljust", "rjust", "zfill"))


class LimitError(TemplateError):
    """A template that costs more than it may."""


class LimitedContext(Context):
    """The variables of one render, and what is left to it."""

    left = AT_LEAST

    def begin(self, given: Any) -> None:
        """Grant what the size of `given`, the messages, justifies."""
        self.left = min(AT_LEAST + PER_CHARACTER * size(given, AT_MOST), AT_MOST)

    def spend(self, cost: int) -> None:
        """Take `cost` from what is left."""
        self.left -= cost
        if self.left < 0:
            raise LimitError(
                f"it takes more steps, or writes more text, than are accepted for "
                f"messages of this length: {AT_LEAST:,} and {PER_CHARACTER:,} for each character"
            )

    def read(self, *values: Any) -> None:
        """Spend the size of values that are read whole."""
        self.spend(size(values, self.left))


def size(value: Any, most: int) -> int:
    """Characters and entries of a value, all that is nested in it counted; beyond `most`, any."""
    total, found = 1, [value]
    while found and total <= most:
        one = found.pop()
        kind = type(one)
        if kind is str:
            total += len(one)
        elif kind is dict:
            total += 2 * len(one)
            if total <= most:
                found += one
                found += one.values()
        elif kind is Namespace:
            raise SecurityError("a namespace is no value")
        elif kind in SIZED or isinstance(one, str):
            total += len(one)
            if total <= most and not isinstance(one, str):
                found += one
        else:
            total += 1 if isinstance(one, Undefined) else length_hint(one, 1)
    return total


def count(value: Any) -> int:
    """How many entries a value has, without looking at them."""
    return len(value) if hasattr(value, "__len__") else length_hint(value, 1)


def pay_method(
    context: LimitedContext, method: Any, args: Sequence[Any], named: Mapping
) -> tuple[Any, ...]:
    """Pay a method of a text, list or mapping; its arguments, iterators made lists."""
    owner, name = method.__self__, method.__name__
    kind = next((kind for kind in METHODS if isinstance(owner, kind)), None)
    if kind is None or name not in METHODS[kind]:
        raise SecurityError(f"{type(owner).__name__}.{name} is not accepted")
    args = tuple(list(one) if hasattr(one, "__next__") else one for one in args)
    context.read(*args, *named.values())
    context.spend(count(owner))
    if name in PADDING and args and isinstance(args[0], int):
        context.spend(max(args[0], 0))
    elif name == "replace" and len(args) > 1 and all(isinstance(one, str) for one in args[:2]):
        context.spend(str(owner).count(args[0]) * len(args[1]))
    elif name == "join" and args:
        context.spend(count(owner) * count(args[0]))
    elif name in ("format", "format_map"):
        check_format(context, str(owner), (args, named))
    elif kind is list or kind is tuple:
        context.read(owner)
    return args


def check_format(context: LimitedContext, pattern: str, values: Any) -> None:
    """Pay a format filled in; widths are numbers of few digits in the format itself."""
    wide = re.search(r"%[^a-zA-Z%]*\*|:[^{}]*\{", pattern)
    if wide or any(int(one) > WIDEST for one in re.findall(r"\d{1,9}", pattern)):
        raise LimitError(f"widths in a format are accepted as numbers up to {WIDEST}")
    fields = pattern.count("%") + pattern.count("{")
    context.spend(len(pattern) + fields * (WIDEST + size(values, context.left)))


def limited(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A filter or test that pays for what it is given, and whose result is no generator."""
    passed = getattr(function, "jinja_pass_arg", None)

    @pass_context
    def paying(context: LimitedContext, value: Any, *args: Any, **named: Any) -> Any:
        if hasattr(value, "__next__"):
            value = list(value)
        if name in DIVIDING and not all(isinstance(one, int | float) for one in (value, *args)):
            raise TypeError(f"'{name}' of {type(value).__name__}")
        context.spend(CALL + count(value) if name in SHALLOW else CALL)
        if name not in SHALLOW:
            context.read(value, args, named)
            _pay_filter(context, name, value, args, named)
        first = {"context": context, "eval_context": context.eval_ctx}.get(
            passed.name if passed else "", context.environment
        )
        found = function(*(() if passed is None else (first,)), value, *args, **named)
        if isinstance(found, GeneratorType):
            return iter(list(found))  # has no length and is never empty, as a generator
        if isinstance(found, str):
            context.spend(len(found))
        return found

    return paying


def _pay_filter(
    context: LimitedContext, name: str, value: Any, args: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Pay for filters whose result is larger than what they are given."""
    given = [*args, *named.values()]
    numbers = [one for one in given if isinstance(one, int)]
    texts = [one for one in given if isinstance(one, str)]
    if name == "format":
        check_format(context, str(value), (args, named))
    elif name in ("center", "indent", "truncate"):
        lines = str(value).count("\n") + 2
        context.spend(lines * (max(numbers, default=80) + max(map(len, texts), default=0)))
    elif name == "join":
        context.spend(count(value) * max(map(len, texts), default=0))
    elif name == "replace" and len(texts) > 1:
        context.spend(str(value).count(texts[0]) * len(texts[1]))
    elif name == "sum":
        context.spend(count(value) * size(value, context.left))
