"""Chat templates render as `transformers` renders them."""

from datetime import datetime

import pytest
import tokenizers
from transformers import PreTrainedTokenizerFast

from workbench.data.chat import render_chat
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nBe brief.{% endif %}\n"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = """{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{ message.content + eos_token }}{% endgeneration %}
    {%- else %}
        {{- '[' + message.role | upper + '] ' + message.content | trim }}
    {%- endif %}
    {%- if loop.index > 3 %}{% break %}{% endif %}
{%- endfor %}
{% if pad_token is defined %}
  {{ messages | tojson }}
{% endif %}
  {% if messages %}
indented
  {% endif %}
{% set found = namespace(count=0) %}
{% for message in messages %}{% set found.count = found.count + 1 %}{% endfor %}{{ found.count }}
"""
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{{ messages[0].content }}"
)
TEXTS = ["Hello!", "  a <b> & 'c'\n\n{{ x }} é 日本  "]


def with_template(backend: tokenizers.Tokenizer, template: str) -> Tokenizer:
    return Tokenizer(backend, eos_id=1, chat_template=template, special_names={"bos_token": "<s>"})


@pytest.mark.parametrize("template", [CHATML, LLAMA], ids=["chatml", "llama"])
@pytest.mark.parametrize("system", [None, "You are kind."])
@pytest.mark.parametrize("text", TEXTS)
def test_prompts_equal_those_of_transformers(
    byte_backend: tokenizers.Tokenizer, template: str, system: str | None, text: str
) -> None:
    theirs = PreTrainedTokenizerFast(
        tokenizer_object=byte_backend, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    expected = theirs.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=True, tokenize=False
    )
    ours = with_template(byte_backend, template)
    assert render_chat(template, text, system, ours.special_names) == expected
    expected_ids = theirs.encode(expected, add_special_tokens=False)
    assert ours.render_prompt(text, system) == expected_ids


def test_a_refused_system_message_says_why() -> None:
    assert render_chat(NO_SYSTEM, "hi", None, {}) == "hi"
    with pytest.raises(WorkbenchError, match="System role not supported"):
        render_chat(NO_SYSTEM, "hi", "be kind", {})


@pytest.mark.parametrize("template", ["{% if %}", "{{ nothing.here }}", "{{ messages + 1 }}"])
def test_a_broken_template_is_one_line(template: str) -> None:
    with pytest.raises(WorkbenchError, match="the chat template does not take") as caught:
        render_chat(template, "hi", None, {})
    assert "\n" not in str(caught.value)


def test_templates_run_in_a_sandbox() -> None:
    with pytest.raises(WorkbenchError, match="unsafe"):
        render_chat("{{ ''.__class__.__mro__[1].__subclasses__() }}", "hi", None, {})
    with pytest.raises(WorkbenchError):
        render_chat("{{ messages.append(1) }}", "hi", None, {})


def test_templates_know_the_date() -> None:
    rendered = render_chat("{{ strftime_now('%Y') }}", "hi", None, {})
    assert abs(int(rendered) - datetime.now().year) <= 1


@pytest.mark.parametrize("broken", ["{{ messages[0].content.index('z') }}", "{{ 'a'.split('') }}"])
def test_whatever_a_template_raises_is_one_line(broken: str) -> None:
    with pytest.raises(WorkbenchError, match="the chat template does not take this prompt"):
        render_chat(broken, "a", None, {})
