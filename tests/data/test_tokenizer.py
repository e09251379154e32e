"""Texts survive the way to ids and back, and the files are those of `transformers`."""

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

WORDS = ["the", "plot", "was", "good", "overall", ".", ",", ":", "?", "!", ";"]
words = st.lists(st.sampled_from(WORDS[:5]), min_size=1)


@pytest.fixture(scope="module")
def word_tokenizer() -> Tokenizer:
    return Tokenizer.from_words(WORDS)


@given(sentences=st.lists(st.tuples(words, st.sampled_from(".,:?!;")), min_size=1))
def test_word_texts_survive(
    word_tokenizer: Tokenizer, sentences: list[tuple[list[str], str]]
) -> None:
    text = " ".join(" ".join(sentence) + mark for sentence, mark in sentences)
    ids = word_tokenizer.encode(text)
    assert word_tokenizer.decode(ids) == text
    assert len(ids) == sum(len(sentence) + 1 for sentence, _ in sentences)
    assert word_tokenizer.tokens(ids) == [
        token for sentence, mark in sentences for token in (*sentence, mark)
    ]


@given(text=st.text())
def test_any_text_survives_bytes(byte_tokenizer: Tokenizer, text: str) -> None:
    ids = byte_tokenizer.encode(text)
    assert byte_tokenizer.decode(ids, skip_special=False) == text
    assert byte_tokenizer.completion(text) == [*ids, byte_tokenizer.eos_id]


def test_words_have_special_tokens_and_unknown_stays_visible(word_tokenizer: Tokenizer) -> None:
    assert word_tokenizer.vocab_size == len(WORDS) + 3
    assert word_tokenizer.pad_id != word_tokenizer.eos_id
    assert word_tokenizer.bos_ids == ()
    ids = word_tokenizer.completion("the story was good")
    assert word_tokenizer.decode(ids) == "the <unk> was good"
    assert word_tokenizer.decode(ids, skip_special=False) == "the <unk> was good <eos>"


def test_prompt_and_completion_never_merge(byte_tokenizer: Tokenizer) -> None:
    merged = byte_tokenizer.encode("the robot")
    apart = byte_tokenizer.encode("the ro"), byte_tokenizer.completion("bot")
    assert [*byte_tokenizer.bos_ids, *apart[0]] == byte_tokenizer.render_prompt("the ro")
    assert len(apart[0]) + len(apart[1]) - 1 > len(merged)


def test_the_backends_own_start_comes_before_a_prompt_alone(byte_tokenizer: Tokenizer) -> None:
    start = byte_tokenizer.backend.token_to_id("<s>")
    assert byte_tokenizer.bos_ids == (start,)
    prompt = byte_tokenizer.render_prompt("the robot")
    assert prompt == byte_tokenizer.backend.encode("the robot").ids
    assert start not in byte_tokenizer.encode("the robot")
    assert start not in byte_tokenizer.completion("the robot")


def test_a_given_start_overrides_the_backends(byte_backend: tokenizers.Tokenizer) -> None:
    tokenizer = Tokenizer(byte_backend, eos_id=1, bos_ids=())
    assert tokenizer.render_prompt("the robot") == tokenizer.encode("the robot")


def test_a_system_text_without_a_template_is_a_paragraph(byte_tokenizer: Tokenizer) -> None:
    assert byte_tokenizer.render_prompt("hi", system="be kind") == byte_tokenizer.render_prompt(
        "be kind\n\nhi"
    )


def test_the_end_is_not_doubled(byte_tokenizer: Tokenizer) -> None:
    once = byte_tokenizer.completion("the robot")
    assert byte_tokenizer.completion("the robot</s>") == once
    assert once.count(byte_tokenizer.eos_id) == 1
    assert byte_tokenizer.completion("") == [byte_tokenizer.eos_id]


def test_tokens_are_readable(byte_tokenizer: Tokenizer) -> None:
    ids = byte_tokenizer.encode("the robot waits é</s>")
    tokens = byte_tokenizer.tokens(ids)
    assert tokens[:3] == ["the", " robot", " waits"]
    assert tokens[-1] == "</s>"
    assert tokens[-3:-1] == ["Ã", "©"], "half characters are shown as the vocabulary writes them"
    assert byte_tokenizer.tokens([10_000]) == ["<10000>"]


def test_tokens_of_a_sentencepiece_model_keep_their_blank() -> None:
    backend = tokenizers.Tokenizer(
        tokenizers.models.Unigram([("<unk>", 0.0), ("▁the", -1.0), ("▁", -2.0), ("x", -2.0)], 0)
    )
    backend.decoder = tokenizers.decoders.Metaspace()
    tokenizer = Tokenizer(backend, eos_id=0)
    assert tokenizer.tokens([1, 2, 3]) == [" the", "▁", "x"]


def test_an_unknown_end_is_refused(byte_backend: tokenizers.Tokenizer) -> None:
    with pytest.raises(WorkbenchError, match="eos_token has id 99999"):
        Tokenizer(byte_backend, eos_id=99_999)


def test_the_digest_changes_with_all_that_decides_ids(byte_backend: tokenizers.Tokenizer) -> None:
    variants = [
        Tokenizer(byte_backend, 1),
        Tokenizer(byte_backend, 2),
        Tokenizer(byte_backend, 1, pad_id=2),
        Tokenizer(byte_backend, 1, bos_ids=()),
        Tokenizer(byte_backend, 1, chat_template="{{ messages[0].content }}"),
        Tokenizer.from_words(WORDS),
        Tokenizer.from_words(WORDS[::-1]),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)
    assert variants[0].digest == Tokenizer(byte_backend, 1).digest
    assert len(variants[0].digest) == 64


def saved(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    tokenizer.save(folder)
    return Tokenizer.from_folder(folder)


def test_saving_keeps_everything(
    tmp_path: Path, byte_backend: tokenizers.Tokenizer, word_tokenizer: Tokenizer
) -> None:
    full = Tokenizer(
        byte_backend,
        eos_id=1,
        pad_id=2,
        chat_template="{{ bos_token }}{{ messages[0].content }}",
        stop_ids=[2],
        special_names={"bos_token": "<s>"},
    )
    for index, tokenizer in enumerate([full, word_tokenizer]):
        copy = saved(tokenizer, tmp_path / str(index))
        assert copy.digest == tokenizer.digest
        assert (copy.eos_id, copy.pad_id) == (tokenizer.eos_id, tokenizer.pad_id)
        assert (copy.bos_ids, copy.stop_ids) == (tokenizer.bos_ids, tokenizer.stop_ids)
        assert copy.render_prompt("the robot") == tokenizer.render_prompt("the robot")


def test_stop_ids_join_a_generation_config_that_is_there(
    tmp_path: Path, byte_backend: tokenizers.Tokenizer
) -> None:
    path = tmp_path / "generation_config.json"
    path.write_text('{"temperature": 0.6}')
    copy = saved(Tokenizer(byte_backend, eos_id=2, stop_ids=[1]), tmp_path)
    assert json.loads(path.read_text()) == {"temperature": 0.6, "eos_token_id": [2, 1]}
    assert copy.eos_id == 2
    assert copy.stop_ids == {1, 2}


def test_transformers_reads_what_is_saved(
    tmp_path: Path, byte_tokenizer: Tokenizer, word_tokenizer: Tokenizer
) -> None:
    for name, ours, text in [
        ("bytes", byte_tokenizer, "the robot waits, é 日本"),
        ("words", word_tokenizer, "overall, the plot was good."),
    ]:
        ours.save(tmp_path / name)
        theirs = AutoTokenizer.from_pretrained(tmp_path / name)
        assert theirs.encode(text) == ours.render_prompt(text)
        assert theirs.decode(ours.completion(text), skip_special_tokens=True) == text
        assert theirs.eos_token_id == ours.eos_id
        assert theirs.pad_token_id == ours.pad_id


def write_folder(folder: Path, backend: tokenizers.Tokenizer, **files: object) -> Path:
    """A model's folder: `config={...}` becomes config.json."""
    backend.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("files", "eos_id", "stop_ids"),
    [
        ({"tokenizer_config": {"eos_token": "</s>"}}, 1, {1}),
        ({"tokenizer_config": {"eos_token": {"content": "<|end|>"}}}, 2, {2}),
        ({"tokenizer_config": {}, "config": {"eos_token_id": 2}}, 2, {2}),
        ({"config": {"eos_token_id": [2, 1]}}, 2, {1, 2}),
        (
            {
                "tokenizer_config": {"eos_token": "<|end|>"},
                "generation_config": {"eos_token_id": [1, 2]},
                "config": {"eos_token_id": 0},
            },
            2,
            {1, 2},
        ),
    ],
)
def test_the_end_is_found_wherever_models_keep_it(
    tmp_path: Path,
    byte_backend: tokenizers.Tokenizer,
    files: dict[str, object],
    eos_id: int,
    stop_ids: set[int],
) -> None:
    tokenizer = Tokenizer.from_folder(write_folder(tmp_path, byte_backend, **files))
    assert tokenizer.eos_id == eos_id
    assert tokenizer.stop_ids == stop_ids
    assert tokenizer.pad_id == eos_id


def test_a_template_is_found_in_each_of_its_files(
    tmp_path: Path, byte_backend: tokenizers.Tokenizer
) -> None:
    config: dict[str, object] = {"eos_token": "</s>", "chat_template": "in the configuration"}
    folder = write_folder(tmp_path, byte_backend, tokenizer_config=config)
    assert Tokenizer.from_folder(folder).chat_template == "in the configuration"
    config["chat_template"] = [
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "the default"},
    ]
    write_folder(tmp_path, byte_backend, tokenizer_config=config)
    assert Tokenizer.from_folder(folder).chat_template == "the default"
    (folder / "chat_template.jinja").write_text("in its own file")
    assert Tokenizer.from_folder(folder).chat_template == "in its own file"


def test_a_files_truncation_and_padding_are_not_taken_over(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    backend = tokenizers.Tokenizer.from_str(byte_tokenizer.backend.to_str())
    backend.enable_truncation(2)
    backend.enable_padding(length=50)
    folder = write_folder(tmp_path, backend, tokenizer_config={"eos_token": "</s>"})
    text = "the robot waits for the other robot"
    assert Tokenizer.from_folder(folder).encode(text) == byte_tokenizer.encode(text)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"no file .*tokenizer\.json"),
        ({"tokenizer.json": "{}"}, "is not a tokenizer"),
        ({"tokenizer_config.json": "[]"}, "holds a list, expected an object"),
        ({"tokenizer_config.json": "{"}, r"cannot read .*tokenizer_config\.json"),
        ({"tokenizer_config.json": "{}"}, "no end of sequence"),
    ],
)
def test_a_broken_folder_is_named(
    tmp_path: Path, byte_backend: tokenizers.Tokenizer, files: dict[str, str], message: str
) -> None:
    if files and "tokenizer.json" not in files:
        byte_backend.save(str(tmp_path / "tokenizer.json"))
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(WorkbenchError, match=message) as caught:
        Tokenizer.from_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_ids_may_have_gaps() -> None:
    """As in vocabularies of which tokens were removed."""
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 7, "<eos>": 90}, "a"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    assert Tokenizer(backend, eos_id=90).completion("a b") == [0, 7, 90]
