"""What can be wrong with a model folder on purpose: by name, the kind of folder and the damage.

Each damage is a function of the folder, beside which lies `outside/` with good weights and texts.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.hostile_templates import TEMPLATES

Damage = Callable[[Path], Any]
KINDS = ("llama", "gpt2", "qwen2", "gemma2", "x_transformers", "gguf", "reward")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class Canary:
    """Its unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def put(name: str, **values: Any) -> Damage:
    """Set keys of a JSON file."""

    def change(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text()) if path.is_file() else {}
        inner = content.get("transformer_wrapper", content) if name == "config.json" else content
        layers = inner.get("attn_layers", {})
        for key, value in values.items():
            (layers if key in layers else inner)[key] = value
        path.write_text(json.dumps(content))

    return change


def text(name: str, content: str | bytes) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def part(*keys: Any, value: Any) -> Damage:
    """Set something deep in tokenizer.json."""

    def change(folder: Path) -> None:
        path = folder / "tokenizer.json"
        content = inner = json.loads(path.read_text())
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        path.write_text(json.dumps(content))

    return change


def index(content: Any) -> Damage:
    """Weights named by an index, to which `content` of (folder) is given, or its weight_map."""

    def change(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "part.safetensors")
        known = load_file(folder / "part.safetensors")
        value = content(folder) if callable(content) else content
        if isinstance(value, str):
            value = {"metadata": {}, "weight_map": dict.fromkeys(known, value)}
        (folder / INDEX).write_text(json.dumps(value))

    return change


def weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Damage:
    """Change the tensors of the file."""

    def damage(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})

    return damage


def fill(value: float) -> Damage:
    return weights(lambda tensors: tensors[min(tensors)].view(-1)[:1].fill_(value))


def kind_of(dtype: torch.dtype) -> Damage:
    return weights(lambda t: t.update({max(t): t[max(t)].to(dtype)}))


def header(length: int) -> Damage:
    def change(folder: Path) -> None:
        data = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", length) + data[8:])

    return change


def linked(name: str, target: str) -> Damage:
    """The file replaced by a link."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target if target.startswith("/") else folder / target)

    return change


def pickled(*names: str, keep: bool = False) -> Damage:
    def change(folder: Path) -> None:
        if not keep:
            (folder / WEIGHTS).unlink()
        for name in names:
            torch.save({"weight": Canary(folder.parent / "canary")}, folder / name)
            (folder / f"{name}.pkl").write_bytes(pickle.dumps(Canary(folder.parent / "canary")))

    return change


def pickled_index(folder: Path) -> str:
    torch.save({"weight": Canary(folder.parent / "canary")}, folder / "weights.bin")
    return "weights.bin"


def own_code(folder: Path) -> None:
    names = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    put("config.json", auto_map=names, model_type="own")(folder)
    put("tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Slow", "own.Fast"]})(folder)
    (folder / "own.py").write_text(f"open({str(folder.parent / 'canary')!r}, 'w')")


def adapter(folder: Path) -> None:
    content = {"peft_type": "LORA", "base_model_name_or_path": str(folder.parent / "outside")}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    pickled("adapter_model.bin", keep=True)(folder)


def gguf_number(name: str, value: int) -> Damage:
    """Set a 32-bit setting of a GGUF file in place."""

    def change(folder: Path) -> None:
        (path,) = folder.glob("*.gguf")
        data = bytearray(path.read_bytes())
        at = data.index(name.encode()) + len(name) + 4
        data[at : at + 4] = struct.pack("<I", value % 2**32)
        path.write_bytes(data)

    return change


def gguf_head(offset: int, form: str, value: int) -> Damage:
    def change(folder: Path) -> None:
        (path,) = folder.glob("*.gguf")
        data = bytearray(path.read_bytes())
        struct.pack_into(form, data, offset, value)
        path.write_bytes(data)

    return change


def regex(pattern: str) -> Damage:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    return part("pre_tokenizer", value={**split, "invert": False})


def doubling(kind: str, inner: str) -> dict[str, Any]:
    one = {"type": "Replace", "pattern": {"String": "t"}, "content": "tt"}
    return {"type": "Sequence", inner: [one] * 40, "kind": kind}


def many_special(folder: Path) -> None:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [{"id": n, "content": f"<{n}>", "special": True, **plain} for n in range(30_000)]
    part("added_tokens", value=added)(folder)


ODD: dict[str, Any] = {
    "a hundred thousand": 100_000, "a billion": 10**9, "negative": -1, "zero": 0, "half": 1.5,
    "a text": "8", "true": True, "a list": [], "an object": {}, "not a number": float("nan"),
    "beyond 64 bits": 10**30,
}  # fmt: skip
SIZES = {
    "llama": ("num_hidden_layers", "hidden_size", "vocab_size", "num_attention_heads",
              "num_key_value_heads", "intermediate_size", "head_dim", "rope_theta",
              "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings"),
    "gpt2": ("n_layer", "n_embd", "vocab_size", "n_head", "n_inner", "n_positions"),
    "qwen2": ("num_hidden_layers", "hidden_size", "num_attention_heads", "max_window_layers"),
    "gemma2": ("num_hidden_layers", "head_dim", "sliding_window", "layer_types"),
    "x_transformers": ("num_tokens", "max_seq_len", "dim", "depth", "heads"),
}  # fmt: skip
ANY: dict[str, Damage] = {  # of each kind that is read from safetensors
    "pickled weights alone": pickled("pytorch_model.bin", "model.pt"),
    "index names a pickle": index(pickled_index),
    "index names ../": index("../outside/model.safetensors"),
    "index names an absolute path": index(lambda f: str(f.parent / "outside" / WEIGHTS)),
    "index names a missing file": index("none.safetensors"),
    "index without a map": index(lambda _: {"metadata": {}}),
    "index with a list": index(lambda _: {"metadata": {}, "weight_map": [WEIGHTS]}),
    "index with numbers": index(lambda _: {"metadata": {}, "weight_map": {"a": 1, "b": None}}),
    "index with lists": index(lambda _: {"metadata": {}, "weight_map": {"a": ["x"]}}),
    "index is a list": index(lambda _: []),
    "weights linked outside": linked(WEIGHTS, "../outside/model.safetensors"),
    "config linked outside": linked("config.json", "../outside/config.json"),
    "tokenizer linked outside": linked("tokenizer.json", "../outside/tokenizer.json"),
    "template linked outside": linked("chat_template.jinja", "/etc/passwd"),
    "weights linked to zeros": linked(WEIGHTS, "/dev/zero"),
    "weights linked to itself": linked(WEIGHTS, WEIGHTS),
    "config is a pipe": lambda f: [(f / "config.json").unlink(), os.mkfifo(f / "config.json")],
    "tokenizer is a pipe": lambda f: [
        (f / "tokenizer.json").unlink(), os.mkfifo(f / "tokenizer.json")
    ],
    "generation config is a pipe": lambda f: [
        (f / "generation_config.json").unlink(missing_ok=True),
        os.mkfifo(f / "generation_config.json"),
    ],
    "weights are a folder": lambda f: [(f / WEIGHTS).unlink(), (f / WEIGHTS).mkdir()],
    "own code": own_code,
    "an adapter beside it": adapter,
    "weights: none": text(WEIGHTS, ""),
    "weights: a pickle by another name": lambda f: torch.save(
        {"a": Canary(f.parent / "canary")}, f / WEIGHTS
    ),
    "header of 2**60 bytes": header(2**60),
    "header of 40 MB": header(40 * 2**20),
    "header of 0 bytes": header(0),
    "a weight is NaN": fill(float("nan")),
    "a weight is infinite": fill(float("inf")),
    "whole numbers": kind_of(torch.int32),
    "truth values": kind_of(torch.bool),
    "complex numbers": kind_of(torch.complex64),
    "a weight is missing": weights(lambda t: t.pop(max(t))),
    "a weight of another shape": weights(lambda t: t.update({max(t): torch.zeros(3, 3)})),
    "a weight without axes": weights(lambda t: t.update({max(t): torch.zeros(())})),
    "a weight of no size": weights(lambda t: t.update({max(t): torch.zeros(0, 5)})),
    "config: brackets": text("config.json", "[" * 100_000),
    "config: not UTF-8": text("config.json", b"\xff\xfe{}"),
    "config: a long number": text("config.json", '{"model_type": ' + "9" * 9999 + "}"),
    "config: large": text("config.json", '{"a": "' + "x" * (20 << 20) + '"}'),
    "config: model_type is a list": put("config.json", model_type=["llama"]),
    "tokenizer: empty": text("tokenizer.json", ""),
    "tokenizer: brackets": text("tokenizer.json", '{"a":' * 5000),
    "tokenizer: no vocabulary": part("model", "vocab", value={}),
    "tokenizer: no unknown": part("model", "unk_token", value="none"),
    "tokenizer: a high id": part("model", "vocab", "x", value=4_000_000_000),
    "tokenizer: an id beyond the embedding": part("model", "vocab", "x", value=70_000),
    "tokenizer: a negative id": part("model", "vocab", "x", value=-5),
    "tokenizer: backtracking": regex("(?:t+t+)+q"),
    "tokenizer: backtracking at the end": regex(r"(?:\w+\s?)+$"),
    "tokenizer: a broken pattern": regex("((("),
    "tokenizer: a doubling normaliser": part("normalizer", value=doubling("n", "normalizers")),
    "tokenizer: a doubling decoder": part("decoder", value=doubling("d", "decoders")),
    "tokenizer: a long start": part(
        "normalizer", value={"type": "Prepend", "prepend": "t" * 2_000_000}
    ),
    "tokenizer: deep sequences": part(
        "pre_tokenizer", value=json.loads('{"type":"Sequence","pretokenizers":[' * 90 + "]}" * 90)
    ),
    "tokenizer: many special tokens": many_special,
    "tokenizer: a special token without letters": part("added_tokens", 0, "content", value=""),
    "tokenizer: half a letter": part("added_tokens", 0, "content", value="\ud800"),
    "special token is a number": put("tokenizer_config.json", eos_token=5),
    "special token is a list": put("tokenizer_config.json", pad_token=["<pad>"]),
    "special token is no token": put("tokenizer_config.json", eos_token="none such"),
    "special token is half a letter": put("tokenizer_config.json", eos_token="\ud800"),
    "ids are texts": put("generation_config.json", eos_token_id=["a", None]),
    "an id is negative": put("generation_config.json", eos_token_id=-1),
    "an id is beyond": put("generation_config.json", eos_token_id=10**12),
    "an id is true": put("generation_config.json", eos_token_id=True),
    "temperature is a text": put("generation_config.json", do_sample=True, temperature="hot"),
    "template is a number": put("tokenizer_config.json", chat_template=5),
    "templates are odd": put(
        "tokenizer_config.json", chat_template=[1, None, {"name": "default", "template": ["x"]}]
    ),
    "template is not UTF-8": text("chat_template.jinja", b"\xff\xfe"),
    "template is long": text("chat_template.jinja", "x" * (20 << 20)),
}  # fmt: skip
GGUF: dict[str, Damage] = {
    "2**63 settings": gguf_head(16, "<Q", 2**63),
    "2**63 weights": gguf_head(8, "<Q", 2**63),
    "a name of 2**62 letters": gguf_head(24, "<Q", 2**62),
    "another version": gguf_head(4, "<I", 99),
    "no magic": gguf_head(0, "<I", 0),
    **{
        f"{name}={value}": gguf_number(f"llama.{name}", value)
        for name in ("block_count", "embedding_length", "feed_forward_length", "context_length",
                     "attention.head_count", "attention.head_count_kv")
        for value in (0, 100_000, 2**31, -1)
    },
}  # fmt: skip


def cases() -> dict[str, tuple[str, Damage]]:
    """All: a name, the kind of folder, and what is done to it."""
    found: dict[str, tuple[str, Damage]] = {}
    for kind in ("llama", "qwen2", "x_transformers"):
        found |= {f"{kind}: {name}": (kind, damage) for name, damage in ANY.items()}
    for kind, names in SIZES.items():
        for name in names:
            for label, value in ODD.items():
                damage = put("config.json", **{name: value})
                found[f"{kind}: {name} is {label}"] = kind, damage
    for name, content in TEMPLATES.items():
        found[f"template: {name}"] = "llama", text("chat_template.jinja", content)
    found |= {f"gguf: {name}": ("gguf", damage) for name, damage in GGUF.items()}
    return found
