"""Conversations of several turns: the ids of the whole, and exactly the assistant's are scored."""

from __future__ import annotations

from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.completions import encode_completions, read_completions
from workbench.data.encoding.dialogue_ids import dialogue_ids
from workbench.data.encoding.encode_rows import EncodedRow, encode_rows, prompt_ids
from workbench.data.layouts.messages import Dialogue, Message
from workbench.data.layouts.reading import Reading
from workbench.data.pairs import encode_pairs, read_pairs
from workbench.data.tokenizer import Tokenizer

TEMPLATE = (
    "{% if tools %}tools: {{ tools | tojson }}\n{% endif %}"
    "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] | trim }}"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
STRIPS = TEMPLATE.replace("| trim }}", "| trim if loop.last else '' }}")
EVERY = Reading(turns="every")
words = st.text("robt wais<s>é\n", min_size=1, max_size=8).filter(str.strip)


@pytest.fixture(scope="module")
def chat(byte_backend: tokenizers.Tokenizer) -> Tokenizer:
    return Tokenizer(byte_backend, eos_id=1, chat_template=TEMPLATE)


def talk(*texts: str) -> list[dict[str, str]]:
    return [
        {"role": ("user", "assistant")[number % 2], "content": text}
        for number, text in enumerate(texts)
    ]


def whole(tokenizer: Tokenizer, row: EncodedRow, side: int) -> tuple[str, str]:
    """A prompt with a completion, and what is scored of it, as text."""
    ids = row.completions[side]
    marks = (row.scored[side] if row.scored else ()) or (True,) * len(ids)
    scored = [one for one, counts in zip(ids, marks, strict=True) if counts]
    return (
        tokenizer.decode([*row.prompt, *ids], skip_special=False),
        tokenizer.decode(scored, skip_special=False),
    )


def encoded(tokenizer: Tokenizer, rows: list[Any], reading: Reading, longest: int = 999) -> Any:
    pairs = read_pairs(rows, reading).pairs
    return next(encode_rows(pairs, ("chosen", "rejected"), tokenizer, longest))[1]


@given(*[words] * 5)
def test_the_last_answer_is_scored(
    chat: Tokenizer, asked: str, before: str, again: str, good: str, bad: str
) -> None:
    start = [{"role": "system", "content": "s"}, *talk(asked, before, again)]
    sides = {"chosen": talk("", good)[1:], "rejected": talk("", f"{bad}!{good}")[1:]}
    row = encoded(chat, [{"prompt": start, **sides}], Reading())
    wanted = (
        f"<s>system\ns</s>\n<s>user\n{asked.strip()}</s>\n<s>assistant\n{before.strip()}</s>\n"
        f"<s>user\n{again.strip()}</s>\n<s>assistant\n"
    )
    assert whole(chat, row, 0) == (f"{wanted}{good}</s>", f"{good}</s>")
    assert whole(chat, row, 1) == (f"{wanted}{bad}!{good}</s>", f"{bad}!{good}</s>")
    assert not row.scored
    assert chat.decode(row.prompt, skip_special=False) == wanted


@given(*[words] * 5)
def test_every_answer_is_scored_and_nothing_else(
    chat: Tokenizer, asked: str, before: str, again: str, good: str, bad: str
) -> None:
    rows = [
        {
            "chosen": talk(asked, before, again, good),
            "rejected": talk(asked, f"{bad}!", again, good, asked, bad),
        }
    ]
    row = encoded(chat, rows, EVERY)
    a, b, c, d, e = (text.strip() for text in (asked, before, again, good, bad))
    start = f"<s>user\n{a}</s>\n<s>assistant\n"
    more = f"</s>\n<s>user\n{c}</s>\n<s>assistant\n{d}</s>"
    assert whole(chat, row, 0) == (f"{start}{b}{more}", f"{b}</s>{d}</s>")
    last = f"\n<s>user\n{a}</s>\n<s>assistant\n{e}</s>"
    text = f"{start}{bad.lstrip()}!{more}{last}"
    assert whole(chat, row, 1) == (text, f"{bad.lstrip()}!</s>{d}</s>{e}</s>")


def test_names_of_special_tokens_in_a_turn_are_letters(chat: Tokenizer) -> None:
    rows = [{"chosen": talk("a", "b</s>c", "d<s>", "e"), "rejected": talk("a", "f")}]
    row = encoded(chat, rows, EVERY)
    specials = [token for token in chat.tokens(row.completions[0]) if token in ("<s>", "</s>")]
    assert specials == ["</s>", "<s>", "</s>", "<s>", "</s>"]
    assert whole(chat, row, 0)[1] == "b</s>c</s>e</s>"


def test_tools_and_their_calls_are_written_as_the_template_has_them(chat: Tokenizer) -> None:
    call = {"name": "add", "arguments": {"x": "</s>"}}
    rows = [
        {
            "prompt": talk("1+1?"), "tools": [{"name": "add"}],
            "chosen": [{"role": "assistant", "content": None, "tool_calls": [call]}],
            "rejected": talk("", "3")[1:],
        }
    ]  # fmt: skip
    row = encoded(chat, rows, Reading())
    text = '[{"name": "add", "arguments": {"x": "</s>"}}]</s>'
    assert whole(chat, row, 0)[1] == text
    assert chat.tokens(row.completions[0]).count("</s>") == 1
    assert chat.decode(row.prompt, skip_special=False).startswith(
        'tools: [{"name": "add"}]\n<s>user'
    )
    plain = Tokenizer(chat.backend, eos_id=1)
    assert encoded(plain, rows, Reading()) == "tool calls need a model with a chat template"


def test_without_a_template_a_conversation_is_a_transcript(byte_tokenizer: Tokenizer) -> None:
    rows = [{"chosen": talk("a", "b", "c", "d"), "rejected": talk("a", "b", "c", "e")}]
    row = encoded(byte_tokenizer, rows, Reading())
    assert whole(byte_tokenizer, row, 0) == (
        "<s>user:\na\n\nassistant:\nb\n\nuser:\nc\n\nassistant:\nd</s>",
        "d</s>",
    )
    row = encoded(byte_tokenizer, rows, EVERY)
    assert whole(byte_tokenizer, row, 0)[1] == "bd</s>"


def test_a_template_that_rewrites_earlier_turns_is_refused_turn_by_turn(
    byte_backend: tokenizers.Tokenizer,
) -> None:
    strips = Tokenizer(byte_backend, eos_id=1, chat_template=STRIPS)
    rows = [{"chosen": talk("a", "b", "c", "d"), "rejected": talk("a", "b", "c", "e")}]
    assert "writes a turn otherwise" in encoded(strips, rows, EVERY)
    assert isinstance(encoded(strips, rows, Reading()), EncodedRow)


@pytest.mark.parametrize("longest", range(30, 75, 5))
def test_a_dialogue_is_cut_at_its_end(chat: Tokenizer, longest: int) -> None:
    rows = [{"chosen": talk("a", "bb", "cc", "d" * 9), "rejected": talk("a", "e", "f", "g")}]
    full, row = encoded(chat, rows, EVERY), encoded(chat, rows, EVERY, longest)
    if isinstance(row, str):
        assert len(full.prompt) >= longest
        return
    room = longest - len(full.prompt)
    assert row.completions == tuple(side[:room] for side in full.completions)
    assert row.scored == tuple(side[:room] for side in full.scored)
    assert ("chosen" in row.truncated) == (len(full.completions[0]) > room)
    (pair,) = encode_pairs(read_pairs(rows, EVERY).pairs, chat, longest).pairs
    assert (pair.chosen_scored, pair.rejected_scored) == row.scored


def test_single_completions_of_several_turns(chat: Tokenizer) -> None:
    texts = read_completions([{"messages": talk("a", "b", "c", "d")}], False, EVERY).texts
    (item,), *_ = encode_completions(texts, chat, 999)
    scored = [one for one, counts in zip(item.completion, item.scored, strict=True) if counts]
    assert chat.decode(scored, skip_special=False) == "b</s>d</s>"
    assert prompt_ids(texts[0], chat) == [*item.prompt] == chat.render_prompt("a")


def test_one_question_is_what_it_is_without_a_dialogue(chat: Tokenizer) -> None:
    one = Dialogue((Message("user", "a"),), ((Message("assistant", "b"),),))
    prompt, (side,) = dialogue_ids(one, "s", chat)
    assert [*prompt] == chat.render_prompt("a", "s")
    assert [*side.ids] == chat.completion("b")
    assert side.scored == ()


def test_an_end_that_a_turn_spells_out_is_its_end(chat: Tokenizer) -> None:
    rows = [{"chosen": talk("a", "b</s>", "c", "d</s>\n"), "rejected": talk("a", "e", "f", "g")}]
    row = encoded(chat, rows, EVERY)
    assert whole(chat, row, 0)[1] == "b</s>d</s>"
    assert chat.tokens(row.completions[0]).count("</s>") == 3  # that of the user's turn too


def test_a_turn_ends_with_the_first_special_token_of_the_template(
    byte_backend: tokenizers.Tokenizer,
) -> None:
    """Where nothing says that it ends an answer, the last turn gets the end of sequence too."""
    template = TEMPLATE.replace("</s>", "<|end|>")
    chat = Tokenizer(byte_backend, eos_id=1, chat_template=template)
    rows = [{"chosen": talk("a", "b", "c", "d"), "rejected": talk("a", "e", "f", "g")}]
    assert whole(chat, encoded(chat, rows, EVERY), 0)[1] == "b<|end|>d<|end|></s>"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (TEMPLATE.replace("tools |", "'' |"), None),
        (TEMPLATE.partition("{% endif %}")[2], "leaves the tools out"),
        (TEMPLATE.replace("m.tool_calls", "m.other"), "leaves calls of tools out"),
    ],
)
def test_a_template_without_a_place_for_tools_is_told(
    byte_backend: tokenizers.Tokenizer, template: str, reason: str | None
) -> None:
    chat = Tokenizer(byte_backend, eos_id=1, chat_template=template)
    called = {"role": "assistant", "content": "", "tool_calls": [{"name": "add"}]}
    asked = [{"role": "user", "content": "1+1?"}, called, {"role": "tool", "content": "2"}]
    rows = [{"prompt": asked, "tools": [{"name": "add"}], "chosen": "2", "rejected": "3"}]
    row = encoded(chat, rows, Reading())
    assert isinstance(row, EncodedRow) if reason is None else str(reason) in row


def test_marks_of_turns_that_are_no_special_tokens_forge_nothing() -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(["a"], trainer)
    backend.add_tokens([tokenizers.AddedToken(one, special=False) for one in ("<s>", "</s>")])
    backend.add_tokens([tokenizers.AddedToken("<think>", special=False)])
    end = backend.token_to_id("</s>")
    chat = Tokenizer(backend, eos_id=end, chat_template=TEMPLATE)
    ids = chat.render_prompt("a</s>\n<s>system<think>")
    assert [one for one in chat.tokens(ids) if one in ("<s>", "</s>")] == ["<s>", "</s>", "<s>"]
    assert "<think>" in chat.tokens(ids)  # no mark of a turn: read as everywhere
