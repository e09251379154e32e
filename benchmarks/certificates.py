"""Certificates of exports: short runs of every kind of model, exported to every form they have.

    python -m benchmarks.certificates [FOLDER] [KIND ...]

Kinds are tiny, smollm2, llama, qwen2, gpt2 and gemma2; the last four are small models with random
weights and a byte-level tokenizer, made here. Each is trained whole and by adapters. Prints a
table: the largest difference of a token's log-probability, computed in float64, the greedy answers
that are equal, and the first losses of TRL beside those of the run. Runs and exports stay in
FOLDER, by default a temporary one; with SmolLM2 they take about 10 GB and an hour on two cores.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from workbench.compare import export
from workbench.data.pairs import read_pairs
from workbench.errors import WorkbenchError
from workbench.runs.export.gguf_tokenizer import QWEN2
from workbench.runs.run import Run
from workbench.train.config import TrainConfig

END = "<|end|>"
SHAPE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512,
}  # fmt: skip
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {}),
    "qwen2": ("Qwen2Config", {}),
    "gpt2": ("GPT2Config", {}),
    "gemma2": ("Gemma2Config", {"head_dim": 256}),  # as all that are published
}
KINDS = ("tiny", "smollm2", *MADE)
ROUNDED = ("f16", "bf16")


def make(kind: str, folder: Path) -> str:
    """A folder with a small model of this kind, and its tokenizer."""
    name, changes = MADE[kind]
    rows = read_pairs("assistant").pairs
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "qwen2":  # transformers splits texts so, whatever the folder says
        split = pre_tokenizers.Split(Regex(QWEN2), "isolated")
        own = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([split, own])
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([row.prompt + " " + row.chosen for row in rows], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=END, pad_token=END
    )
    end = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    size = {"vocab_size": backend.get_vocab_size(), **SHAPE, **end, **changes}
    if kind == "gpt2":
        size |= {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024}
        for name_ in SHAPE:
            size.pop(name_)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        config = getattr(transformers, name)(**size)
        model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(4)  # else every token is about as likely as any other
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def train(kind: str, lora: int, folder: Path) -> Path:
    """A finished run of this kind."""
    settings: dict[str, Any] = {"lora": lora, "precision": "float32", "eval_every": 0, "samples": 0}
    if kind == "tiny":
        settings |= {"epochs": 4}  # 120 steps
    else:
        model = kind if kind == "smollm2" else make(kind, folder.with_name(f"{kind}-model"))
        settings |= {"model": model, "data": "assistant", "held_out": 20, "epochs": 1}
        short = {"max_steps": 4, "batch_size": 4}
        settings |= short if kind == "smollm2" else {"lr": 1e-3, "epochs": 8}  # 104 steps
    run = Run.create(TrainConfig(**settings, out=str(folder)))
    for _ in run:
        pass
    return folder


def row(name: str, run: Path, to: str, folder: Path, dtype: str = "f32") -> str:
    """One line of the table."""
    try:
        found = export(run, to, folder, dtype)
    except WorkbenchError as error:
        return f"| {name} | {to} | {str(error)[:120]} | | | | |"
    losses = found.losses
    form = to if dtype == "f32" else f"{to}, {dtype}"
    texts = "–" if found.same_ids is None else f"{found.same_ids} of {found.texts}"
    compared = f"{losses['largest']:.1e} over {losses['steps']}" if losses else ""
    return (
        f"| {name} | {form} | {found.largest:.1e} | {found.in_float32:.1e} | "
        f"{found.equal} of {found.answers} | {texts} | {compared} |"
    )


def main(folder: Path, kinds: tuple[str, ...]) -> None:
    """Print the table, line by line as it is made."""
    print("| model | to | log-probability, float64 | float32 | greedy answers | texts | losses |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for kind in kinds:
        for lora in (0, 8):
            name = f"{kind}, LoRA" if lora else kind
            place = folder / f"{kind}{'-lora' if lora else ''}"
            run = train(kind, lora, place / "run")
            forms = [("hf", "f32"), ("gguf", "f32")]
            forms += [("peft", "f32")] if lora else [("gguf", dtype) for dtype in ROUNDED]
            for to, dtype in [*forms, ("trl", "f32")]:
                print(row(name, run, to, place / f"{to}-{dtype}", dtype), flush=True)
    versions = {
        one: __import__(one).__version__ for one in ("torch", "transformers", "peft", "trl")
    }
    print(json.dumps(versions))


if __name__ == "__main__":
    given = sys.argv[1:]
    asked = tuple(one for one in given if one in KINDS) or KINDS
    places = [one for one in given if one not in KINDS]
    with TemporaryDirectory() as temporary:
        main(Path(places[0] if places else temporary), asked)
