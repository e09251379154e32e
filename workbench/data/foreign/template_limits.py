"""Chat templates under a limit: what a template costs is counted while it is rendered.

A template comes from outside and may be made to fill the memory or never to end. So its
environment, a sandbox already, counts: each pass of a loop costs the size of its body, each value
that is made, compared or written costs its size, before the work is done. A render that costs more
than its messages justify ends in an error. Numbers stay below 2**64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from types import BuiltinMethodType
from typing import Any

from jinja2 import Template, TemplateError, Undefined, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from workbench.data.foreign.template_costs import (
    CALL,
    COMPARING,
    DIVIDING,
    FILTERS,
    LimitedContext,
    LimitError,
    check_format,
    count,
    limited,
    pay_method,
    size,
)
from workbench.data.foreign.template_tree import KEY, LOOP, PART, READ, SPEND, SUM, TEXT, counted

LONGEST = 200_000  # characters of a template; those in use have at most some 20,000
INTEGER = 2**64


def render(template: Template, given: Any, **values: Any) -> str:
    """The text of a template, within what the size of `given`, its messages, justifies."""
    context = template.new_context(values)
    assert isinstance(context, LimitedContext)
    context.begin(given)
    return "".join(template.root_render_func(context))


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox whose templates spend what their context has left."""

    context_class = LimitedContext
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, filters: Mapping[str, Callable[..., Any]], **more: Any) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        known: dict[str, Any] = {**self.filters, **filters}
        self.filters = {name: limited(known[name], name) for name in FILTERS}
        self.filters.update(
            {
                LOOP: _loop,
                TEXT: _text,
                SUM: _sum,
                SPEND: _spend,
                PART: _part,
                READ: _read,
                KEY: _key,
            }
        )
        tests: dict[str, Any] = dict(self.tests)
        self.tests = tests | {n: limited(tests[n], n) for n in COMPARING | DIVIDING}
        del self.globals["lipsum"]
        self.globals.update(more)

    def template(self, text: str) -> Template:
        """The template, its loops and what else it does counted."""
        if len(text) > LONGEST:
            raise TemplateError(f"it has {len(text):,} characters; {LONGEST:,} are accepted")
        code = self.compile(counted(self.parse(text)))
        return self.template_class.from_code(self, code, dict(self.globals))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An operator between two values, whose result is paid before it is made."""
        if isinstance(left, int | float) and isinstance(right, int | float):
            power = operator == "**" and isinstance(right, int) and abs(right) > 64
            if power or any(isinstance(one, int) and abs(one) >= INTEGER for one in (left, right)):
                raise LimitError("numbers are accepted below 2**64, and powers up to 64")
        elif isinstance(left, str) and operator == "%":
            check_format(context, left, right)
        elif operator == "*":
            times = [max(one, 0) for one in (left, right) if isinstance(one, int)]
            context.spend(max(count(left), count(right)) * (times[0] if times else 1))
        elif isinstance(left, str | list | tuple | Undefined) or isinstance(right, Undefined):
            context.spend(count(left) + count(right))
        else:
            raise TypeError(f"{type(left).__name__} {operator} {type(right).__name__}")
        return self.binop_table[operator](left, right)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An entry; its key is no tuple, which would be read whole, unpaid."""
        if type(obj) is dict and type(argument) is str and argument in obj:
            return obj[argument]
        return super().getitem(obj, _plain_key(argument))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An attribute, or an entry of that name."""
        if type(obj) is LoopContext and not attribute.startswith("_"):
            return getattr(obj, attribute, None) or super().getattr(obj, attribute)
        if type(obj) is dict and attribute in obj and not hasattr(dict, attribute):
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A function, macro or method; what it makes is paid before."""
        __context.spend(CALL)
        method = getattr(__obj, "__wrapped__", __obj)  # `format` comes wrapped by the sandbox
        owner = getattr(method, "__self__", None)
        builtin = isinstance(method, BuiltinMethodType) and not isinstance(owner, type)
        if builtin or isinstance(owner, str):
            args = pay_method(__context, method, args, kwargs)
        elif not isinstance(__obj, Macro | type):
            __context.read(args, kwargs)
        elif __obj is not Namespace and isinstance(__obj, type):
            __context.spend(sum(map(count, args)))
        return super().call(__context, __obj, *args, **kwargs)


# -- what the compiled template calls -------------------------------------------------------------


@pass_context
def _loop(context: LimitedContext, value: Any, body: int) -> Any:
    if not (hasattr(value, "__len__") or hasattr(value, "__length_hint__")):
        raise TypeError(f"{type(value).__name__} is no sequence")
    context.spend(count(value) * body)
    return value


@pass_context
def _text(context: LimitedContext, values: Sequence[Any]) -> str:
    context.read(values)
    return "".join(map(str, values))


@pass_context
def _sum(context: LimitedContext, values: Sequence[Any]) -> Any:
    """Values added one to the next; texts, as they mostly are, at once."""
    for value in values:
        if type(value) is not str:
            add: Any = context.environment
            return reduce(partial(add.call_binop, context, "+"), values)
    context.spend(sum(map(len, values)))
    return "".join(values)


@pass_context
def _spend(context: LimitedContext, nothing: str, cost: int) -> str:
    context.spend(cost)
    return nothing


@pass_context
def _part(context: LimitedContext, value: Any) -> Any:
    context.spend(count(value))
    return value


@pass_context
def _read(context: LimitedContext, value: Any) -> Any:
    context.spend(len(value) + 1 if type(value) is str else size(value, context.left))
    return value


@pass_context
def _key(context: LimitedContext, value: Any) -> Any:
    return _plain_key(value)


def _plain_key(value: Any) -> Any:
    if isinstance(value, tuple):
        raise SecurityError("a tuple is no key")
    return value
