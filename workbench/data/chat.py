"""A model's chat template, rendered as `transformers` renders it, without importing it.

Templates are code from outside, so they run in a sandbox, and under the limits of
`foreign.template_limits`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, pass_context

from workbench.data.foreign.template_costs import LimitedContext
from workbench.data.foreign.template_limits import LimitedEnvironment, render
from workbench.errors import WorkbenchError


def render_chat(
    template: str, user: str, system: str | None, special_names: Mapping[str, str]
) -> str:
    """The rendered text of one user message, up to where the assistant's answer starts.

    Errors are those of `render_messages`.
    """
    messages = [] if system is None else [{"role": "system", "content": system}]
    return render_messages(template, [*messages, {"role": "user", "content": user}], special_names)


def render_messages(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    special_names: Mapping[str, str],
    tools: Sequence[Any] | None = None,
    asks: bool = True,
) -> str:
    """The rendered text of messages and, where it `asks`, of what an answer begins with.

    `special_names` are the template's variables bos_token, eos_token and so on.
    Raises WorkbenchError where the template is broken, costs more than it may, or rejects the
    messages, for example because the model takes no system message.
    """
    try:
        return render(
            _compile(template), (messages, tools),
            messages=messages, tools=tools, documents=None, add_generation_prompt=asks,
            **special_names,
        )  # fmt: skip
    except Exception as error:  # what code from outside raises may be anything
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise WorkbenchError(f"the chat template does not take this prompt: {reason}") from error


def turn_marks(template: str | None, special_names: Mapping[str, str]) -> str:
    """What a template writes around turns that hold nothing; empty without a template."""
    if template is None:
        return ""
    turns = [{"role": role, "content": " "} for role in ("user", "assistant", "user")]
    with suppress(WorkbenchError):
        return render_messages(template, turns, special_names)
    with suppress(WorkbenchError):
        return render_chat(template, " ", None, special_names)
    return ""


@lru_cache(maxsize=8)
def _compile(template: str) -> Template:
    environment = LimitedEnvironment(
        {"tojson": _to_json}, raise_exception=_raise, strftime_now=_now
    )
    # `{% generation %}` marks the assistant's text for training; it renders to nothing.
    template = re.sub(r"(\{%[-+]?\s*)generation(\s*[-+]?%\})", r"\1if true\2", template)
    template = re.sub(r"(\{%[-+]?\s*)endgeneration(\s*[-+]?%\})", r"\1endif\2", template)
    return environment.template(template)


@pass_context
def _to_json(context: LimitedContext, value: Any, **options: Any) -> str:
    """Unlike Jinja's own filter, this one keeps HTML characters as they are."""
    indent = options.get("indent")
    if indent is None:
        return json.dumps(value, ensure_ascii=options.pop("ensure_ascii", False), **options)
    if (len(indent) if isinstance(indent, str) else indent) > 99:
        raise TemplateError("tojson accepts an indent up to 99")
    parts = []
    encoder = json.JSONEncoder(ensure_ascii=options.pop("ensure_ascii", False), **options)
    for part in encoder.iterencode(value):
        context.spend(len(part))
        parts.append(part)
    return "".join(parts)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
