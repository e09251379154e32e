"""Chat templates that would hang or fill the memory end in one line; others render as before."""

from __future__ import annotations

import time
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from benchmarks.hostile_templates import TEMPLATES
from workbench.data.chat import render_chat, render_messages
from workbench.errors import WorkbenchError

RICH = """{%- macro shown(tool, depth=1) -%}
{{ ' ' * depth ~ tool.name | upper }}: {{ tool['about'] | default('none', true) | trim }}
{%- for key, value in tool.args | items %} {{ key }}={{ value | tojson }}{% endfor %}
{%- endmacro %}
{%- set ns = namespace(last=-1, text='', seen=[]) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if ns.last < 0 and message.role == "user" and not message.content.startswith('<') %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- if tools is iterable and tools | length > 0 %}
    {%- for tool in tools %}{{ shown(tool, loop.index) }}{{ tool | tojson(indent=4) }}
    {%- endfor %}
{%- endif %}
{%- for message in messages if message.role in ['system', 'user', 'assistant'] %}
    {%- if message.content is string and '</think>' in message.content %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
    {%- else %}{% set content = message['content'] %}{% endif %}
    {%- set ns.text = ns.text + content %}{% set ns.seen = ns.seen + [message.role] %}
    {{- "<|" + message["role"] + "|>" + content ~ loop.index }}
    {{- loop.previtem.role if loop.previtem }}
    {%- if loop.index0 > ns.last and loop.last or loop.length % 2 == 1 %}{{ loop.cycle('a', 'b') }}
    {%- endif %}
{%- endfor %}
{{ ns.text | length }} {{ ns.seen | map('title') | join(', ') }} {{ '%02d' % 7 }}
{{ "{}!".format(1) }}
{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | last }}
{{ messages | map(attribute='role') | unique | sort | join('-') }} {{ dict(a=1) | string }}
{{ (messages | groupby('role') | first).grouper }} {{ 7 // 2 }} {{ 2 ** 10 }}
{{ 1 + 2.5 }} {{ -ns.last }}
{% if add_generation_prompt %}<|assistant|>{% endif %}"""


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_hostile_template_ends_in_one_line(name: str) -> None:
    begin = time.process_time()
    with pytest.raises(WorkbenchError, match="the chat template does not take") as caught:
        render_chat(TEMPLATES[name], "hello", "be kind", {"bos_token": "<s>"})
    assert "\n" not in str(caught.value)
    assert time.process_time() - begin < 20


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "<a> & 'b'\n日本"},
    {"role": "assistant", "content": "<think>x</think>\nYes."},
    {"role": "user", "content": "Why?"},
]
TOOLS = [{"name": "add", "about": None, "args": {"x": 1, "y": ["é", {"z": None}]}}]


@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_rich_template_renders_as_transformers_renders_it(count: int, tools: Any) -> None:
    messages = MESSAGES[-count:]
    (expected,), _ = render_jinja_template(
        conversations=[messages], tools=tools, chat_template=RICH, add_generation_prompt=True
    )
    assert render_messages(RICH, messages, {}, tools) == expected


def test_a_long_conversation_may_cost_more_than_a_short_one() -> None:
    template = "{% for message in messages %}{{ message.content|upper|lower|trim }}{% endfor %}"
    messages = [{"role": "user", "content": "x" * 1000}] * 2000
    assert len(render_messages(template, messages, {})) == 2_000_000
