"""A tokenizer as GGUF's metadata: in llama.cpp's form where it has one, and always as it is.

llama.cpp knows byte-level BPE with a pre-tokenizer that it has a name for, and BPE of the
SentencePiece kind. `tokenizer.huggingface.json`, a key of the format, holds any tokenizer whole.
"""

from __future__ import annotations

import json
from typing import Any

from workbench.data.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # llama.cpp's types of tokens
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPLITS = {QWEN2: "qwen2", LLAMA3: "llama-bpe"}
NO_FORM = (
    "llama.cpp has no form for this tokenizer: the file holds it as tokenizer.huggingface.json, "
    "which load_model reads; other tools need token ids"
)
UNREAD = (
    "transformers reads GGUF without the pre-tokenizer {!r}, which llama.cpp knows: some texts get "
    "other ids there"
)


def add_tokenizer(writer: Any, tokenizer: Tokenizer, vocab_size: int) -> list[str]:
    """Write the vocabulary of a `gguf.GGUFWriter`; returns what a person should know of it."""
    state = json.loads(tokenizer.backend.to_str())
    kind, pre = llama_cpp_form(state)
    tokens = [tokenizer.backend.id_to_token(index) for index in range(vocab_size)]
    special = {one["id"]: one["special"] for one in state["added_tokens"]}
    writer.add_tokenizer_model(kind)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list([f"[PAD{n}]" if t is None else t for n, t in enumerate(tokens)])
    writer.add_token_types([_type(n, token, special, state) for n, token in enumerate(tokens)])
    if kind != "none":
        merges = [
            one if isinstance(one, str) else " ".join(one) for one in state["model"]["merges"]
        ]
        if kind == "llama":  # it joins the pair whose sum has the highest score
            ranks = {"".join(merge.split(" ")): -float(n) for n, merge in enumerate(merges)}
            writer.add_token_scores([ranks.get(token or "", -1e9) for token in tokens])
            writer.add_add_space_prefix(_prefixes(state))
        writer.add_token_merges(merges)
    names = tokenizer.special_names
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_pad_token_id(tokenizer.pad_id)
    for other in sorted(tokenizer.stop_ids - {tokenizer.eos_id})[:1]:
        writer.add_eot_token_id(other)
    for name, add in (
        ("bos_token", writer.add_bos_token_id),
        ("unk_token", writer.add_unk_token_id),
    ):
        if name in names and (index := tokenizer.backend.token_to_id(names[name])) is not None:
            add(index)
    writer.add_add_bos_token(bool(tokenizer.bos_ids))
    writer.add_add_eos_token(False)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)
    writer.add_string("tokenizer.huggingface.json", tokenizer.backend.to_str())
    if kind == "none":
        return [NO_FORM]
    return [UNREAD.format(pre)] if pre == "smollm" else []


def llama_cpp_form(state: dict[str, Any]) -> tuple[str, str]:
    """llama.cpp's names of a tokenizer and of its pre-tokenizer; "none" where it has none.

    `state` is what `tokenizer.json` holds.
    """
    model, pre = state["model"], state.get("pre_tokenizer") or {}
    if model.get("type") != "BPE":
        return "none", ""
    if model.get("byte_fallback"):
        return "llama", "default"
    parts = pre.get("pretokenizers", [pre])
    kinds = [part.get("type") for part in parts]
    plain = (state.get("normalizer") or {"type": "NFC"})["type"] == "NFC"
    if not plain or kinds[-1:] != ["ByteLevel"] or parts[-1].get("add_prefix_space"):
        return "none", ""
    if kinds == ["ByteLevel"] and parts[0].get("use_regex", True):
        return "gpt2", "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
        return "gpt2", "smollm"
    if kinds == ["Split", "ByteLevel"]:
        pattern = SPLITS.get(parts[0]["pattern"].get("Regex", ""))
        return ("gpt2", pattern) if pattern else ("none", "")
    return "none", ""


def _type(index: int, token: str | None, special: dict[int, bool], state: dict[str, Any]) -> int:
    if token is None:
        return UNUSED
    if index in special:
        return CONTROL if special[index] else USER_DEFINED
    if token == state["model"].get("unk_token"):
        return UNKNOWN
    is_byte = state["model"].get("byte_fallback") and len(token) == 6 and token.startswith("<0x")
    return BYTE if is_byte else NORMAL


def _prefixes(state: dict[str, Any]) -> bool:
    """Whether a text gets a space in front."""
    parts = [state.get("normalizer") or {}, state.get("pre_tokenizer") or {}]
    text = json.dumps(parts)
    return '"Prepend"' in text or '"prepend_scheme": "first"' in text or '"always"' in text
