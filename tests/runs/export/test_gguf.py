"""GGUF: which models and tokenizers it holds, against the reader that is here already."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tokenizers
import torch
from einops import rearrange
from tokenizers import decoders, models, normalizers, pre_tokenizers

from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.runs.export.gguf_file import _pairs_side_by_side, check_gguf
from workbench.runs.export.gguf_tokenizer import LLAMA3, QWEN2, add_tokenizer, llama_cpp_form

LLAMA: dict[str, Any] = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2}


def test_rotated_pairs_are_as_the_reader_of_smollm2_undoes_them() -> None:
    weight = torch.arange(32.0).view(8, 4)
    config = {"num_attention_heads": 2, "num_key_value_heads": 1}
    stored = _pairs_side_by_side("model.layers.0.self_attn.q_proj.weight", weight, config)
    # Two heads of four: rows 0 1 2 3 are two pairs, (0, 2) and (1, 3).
    assert stored[:, 0].tolist() == [0, 8, 4, 12, 16, 24, 20, 28]
    back = rearrange(stored, "(head pair two) dim -> (head two pair) dim", two=2, pair=2)
    assert torch.equal(back, weight)
    assert _pairs_side_by_side("model.layers.0.self_attn.v_proj.weight", weight, config) is weight


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "mamba"}, "type mamba can't be written as GGUF; accepted: llama, qwen2"),
        ({**LLAMA, "attention_bias": True}, "this Llama has settings that GGUF"),
        ({**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 2}}, "this Llama"),
        ({"model_type": "qwen2", "use_sliding_window": True}, "use_sliding_window=True has no"),
        ({"model_type": "gpt2", "n_positions": 512}, "n_positions=512 .*; accepted: 1024"),
        ({"model_type": "gemma2", "head_dim": 8}, "head_dim=8 has no place in GGUF; accepted: 256"),
        (
            {"model_type": "qwen2", "rope_parameters": {"rope_type": "yarn"}},
            "rope_type='yarn' has no place",
        ),
    ],
)
def test_settings_without_a_place_are_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(WorkbenchError, match=words):
        check_gguf(config)


def bpe(pre: Any, normalizer: Any = None, **more: Any) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(
        models.BPE({"a": 0, "b": 1, "ab": 2, "<end>": 3}, [("a", "b")], **more)
    )
    if pre is not None:
        backend.pre_tokenizer = pre
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.add_special_tokens(["<end>"])
    return backend


def split(pattern: str) -> Any:
    cut = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(False, use_regex=False)])


SENTENCEPIECE = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


@pytest.mark.parametrize(
    ("backend", "form"),
    [
        (bpe(pre_tokenizers.ByteLevel(False)), ("gpt2", "gpt-2")),
        (
            bpe(
                pre_tokenizers.Sequence(
                    [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)]
                )
            ),
            ("gpt2", "smollm"),
        ),
        (bpe(split(QWEN2), normalizers.NFC()), ("gpt2", "qwen2")),
        (bpe(split(LLAMA3)), ("gpt2", "llama-bpe")),
        (bpe(None, SENTENCEPIECE, byte_fallback=True), ("llama", "default")),
        (bpe(split(r"\w+")), ("none", "")),
        (bpe(pre_tokenizers.ByteLevel(True)), ("none", "")),
        (bpe(pre_tokenizers.ByteLevel(False), normalizers.Lowercase()), ("none", "")),
        (Tokenizer.from_words(["a"]).backend, ("none", "")),
    ],
)
def test_the_form_that_llama_cpp_has(backend: tokenizers.Tokenizer, form: tuple[str, str]) -> None:
    assert llama_cpp_form(json.loads(backend.to_str())) == form


class Writer:
    """Keeps what a `gguf.GGUFWriter` is told."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        def tell(*values: Any) -> None:
            key, value = (name, values[0]) if len(values) == 1 else values
            self.told[key] = value

        return tell


def test_sentencepiece_scores_join_in_the_order_of_the_merges() -> None:
    vocabulary = {"<unk>": 0, "<0x0A>": 1, "▁": 2, "a": 3, "b": 4, "ab": 5, "▁ab": 6, "<end>": 7}
    merges = [("a", "b"), ("▁", "ab")]
    backend = tokenizers.Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True)
    )
    backend.normalizer = SENTENCEPIECE
    backend.decoder = decoders.Replace("▁", " ")
    backend.add_special_tokens(["<end>"])
    writer = Writer()
    assert add_tokenizer(writer, Tokenizer(backend, 7), 9) == []
    told = writer.told
    assert told["add_token_scores"][5:7] == [0.0, -1.0]  # the first merge first
    assert told["add_token_types"] == [2, 6, 1, 1, 1, 1, 1, 3, 5]
    assert told["add_token_list"][8] == "[PAD8]"
    assert told["add_add_space_prefix"] is True


def test_words_are_kept_whole_and_said_to_have_no_form() -> None:
    tokenizer, writer = Tokenizer.from_words(["good"]), Writer()
    (note,) = add_tokenizer(writer, tokenizer, tokenizer.vocab_size)
    assert "llama.cpp has no form" in note
    assert writer.told["add_tokenizer_model"] == "none"
    whole = tokenizers.Tokenizer.from_str(writer.told["tokenizer.huggingface.json"])
    assert whole.to_str() == tokenizer.backend.to_str()
