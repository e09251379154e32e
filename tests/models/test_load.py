"""Names to models, models to folders and back, and the hash of their weights."""

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.core.fast.fast_kernels import FAST
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError
from workbench.models import download, load
from workbench.models.hub import HubPolicy
from workbench.models.load import Model, load_model, model_hash, save_model, shapes_hash
from workbench.models.lora import add_lora


@pytest.fixture
def native(tokenizer) -> Model:
    config = TransformerConfig(61, dim=32, heads=4, kv_heads=2, hidden_dim=48, layers=2)
    return Model("small", Transformer(config, seed=4, kernels=FAST), tokenizer, config.max_length)


@pytest.fixture
def foreign(make_model, tokenizer) -> Model:
    policy = HubPolicy(make_model("Qwen2Config"))
    return Model("other", policy, tokenizer, policy.max_length)


def test_the_decoder_comes_back_bit_for_bit(native, tmp_path) -> None:
    reports: list[float] = []
    save_model(native, tmp_path / "new" / "folder")
    again = load_model(str(tmp_path / "new" / "folder"), lambda text, share: reports.append(share))
    assert isinstance(again.policy, Transformer)
    assert model_hash(again.policy) == model_hash(native.policy)
    assert again.max_length == native.max_length == 256
    assert again.tokenizer.digest == native.tokenizer.digest
    assert again.name == str(tmp_path / "new" / "folder")
    assert reports
    assert all(0 <= share <= 1 for share in reports)


def test_another_model_comes_back_bit_for_bit(foreign, tmp_path) -> None:
    save_model(foreign, tmp_path)
    again = load_model(str(tmp_path))
    assert isinstance(again.policy, HubPolicy)
    assert model_hash(again.policy) == model_hash(foreign.policy)
    assert again.max_length == foreign.max_length == 64
    assert again.tokenizer.digest == foreign.tokenizer.digest
    assert not list(tmp_path.glob("tmp*"))


@pytest.mark.parametrize("tied", [True, False])
def test_without_weights_a_model_has_the_shapes_that_it_has_with_them(
    make_model, tokenizer, tmp_path, tied
) -> None:
    """Whatever config.json says, `transformers` ties no two weights that differ in the file."""
    policy = HubPolicy(make_model("Qwen2Config", tie_word_embeddings=tied))
    save_model(Model("other", policy, tokenizer, policy.max_length), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    empty, whole = (load_model(str(tmp_path), empty=empty).policy for empty in (True, False))
    assert shapes_hash(empty) == shapes_hash(whole)
    assert [weight.is_meta for weight in empty.parameters()] == [tied] * len([*whole.parameters()])
    assert ("model.lm_head.weight" in dict(whole.named_parameters())) != tied


@pytest.mark.parametrize("kind", ["native", "foreign"])
@torch.no_grad()
def test_transformers_reads_what_we_save(kind, tokens, tmp_path, request) -> None:
    transformers = pytest.importorskip("transformers")
    model = request.getfixturevalue(kind)
    save_model(model, tmp_path)
    found = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ours = model.policy.head(model.policy.hidden(tokens))
    torch.testing.assert_close(ours, found(tokens).logits, atol=1e-5, rtol=1e-5)
    assert (found.config.eos_token_id, found.config.pad_token_id) == (1, 0)


def test_transformers_reads_the_tokenizer_that_we_save(native, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    save_model(native, tmp_path)
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "word3 word14 word15"
    assert reader(text, add_special_tokens=False).input_ids == native.tokenizer.encode(text)
    assert (reader.eos_token_id, reader.pad_token_id) == (1, 0)


def test_saving_over_a_folder_replaces_its_files(native, tmp_path) -> None:
    save_model(native, tmp_path)
    with torch.no_grad():
        native.policy.norm.weight.mul_(2)
    save_model(native, tmp_path)
    assert model_hash(load_model(str(tmp_path)).policy) == model_hash(native.policy)


def test_adapters_have_to_be_merged_before_saving(native, tmp_path) -> None:
    pytest.importorskip("peft")
    add_lora(native.policy, rank=1)
    with pytest.raises(WorkbenchError, match="merge_lora"):
        save_model(native, tmp_path)


def test_the_decoder_is_loaded_without_transformers(native, tmp_path) -> None:
    save_model(native, tmp_path)
    program = (
        "import sys; from workbench.models.load import load_model; load_model(sys.argv[1]); "
        "print(sorted({'transformers', 'peft', 'gguf', 'torch._dynamo'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", ["no such model", "./missing/folder/deep", "", "weights.gguf/x/y"])
def test_an_unknown_name_says_what_is_accepted(name) -> None:
    accepted = "tiny, smollm2, a folder with config.json, a .gguf file, or a Hugging Face id"
    with pytest.raises(WorkbenchError, match=accepted):
        load_model(name)


def test_an_id_that_cannot_be_fetched_says_what_is_accepted(monkeypatch) -> None:
    def check_comparable(name: str, progress: object) -> None:
        raise WorkbenchError(f"cannot fetch model {name!r}: no network")

    monkeypatch.setattr(load, "hub_folder", check_comparable)
    with pytest.raises(WorkbenchError) as raised:
        load_model("ORG/NAME")
    assert str(raised.value).startswith("no folder 'ORG/NAME', and cannot fetch model 'ORG/NAME'")
    assert "accepted: tiny, smollm2" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_without_a_config_is_named(tmp_path) -> None:
    with pytest.raises(WorkbenchError, match=r"has no config\.json"):
        load_model(str(tmp_path))


def test_other_people_s_pickles_are_not_read(foreign, tmp_path) -> None:
    save_model(foreign, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(WorkbenchError, match="pickled weights"):
        load_model(str(tmp_path))


def test_weights_that_are_missing_are_not_made_up(foreign, tmp_path) -> None:
    save_model(foreign, tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    path.write_text(path.read_text().replace('"layer_types"', '"layer_types_before"'))
    with pytest.raises(WorkbenchError, match=r"no weights for model\.layers\.2"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["native", "foreign"])
def test_weights_that_are_not_finite_are_refused(kind, value, tmp_path, request) -> None:
    model = request.getfixturevalue(kind)
    save_model(model, tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    weights = load_file(path)
    name = min(weights)
    weights[name].view(-1)[3] = value
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(WorkbenchError, match="holds values that are not finite"):
        load_model(str(tmp_path))


def test_whole_numbers_are_no_weights_of_any_model(foreign, tmp_path) -> None:
    save_model(foreign, tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("q_proj.weight"))
    save_file({**weights, name: weights[name].to(torch.int8)}, path, {"format": "pt"})
    with pytest.raises(WorkbenchError, match=f"{name} is I8; accepted are"):
        load_model(str(tmp_path))


def test_a_model_with_code_of_its_own_is_refused(foreign, tmp_path) -> None:
    save_model(foreign, tmp_path)
    path = tmp_path / "config.json"
    changed = path.read_text().replace('"qwen2"', '"own"')
    own = '{"auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},'
    path.write_text(changed.replace("{", own, 1))
    (tmp_path / "own.py").write_text("raise SystemExit('this code was run')")
    with pytest.raises(WorkbenchError, match="transformers does not take"):
        load_model(str(tmp_path))


def test_a_missing_package_names_the_extra(foreign, tmp_path, monkeypatch) -> None:
    save_model(foreign, tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(WorkbenchError, match=r"pip install 'dpo-workbench\[hub\]'"):
        load_model(str(tmp_path))


def test_a_tokenizer_of_the_older_kind_is_converted(foreign, tmp_path) -> None:
    """GPT-2's files: a vocabulary and a list of merges, no tokenizer.json."""
    save_model(foreign, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    letters = ["<eos>", "a", "b", "c", "ab", "abc"]
    vocabulary = ", ".join(f'"{letter}": {index}' for index, letter in enumerate(letters))
    (tmp_path / "vocab.json").write_text(f"{{{vocabulary}}}")
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\nab c\n")
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<eos>", "unk_token": "<eos>"}'
    )
    found = load_model(str(tmp_path)).tokenizer
    assert found.encode("abcab") == [5, 4]
    assert found.eos_id == 0


def test_the_hash_is_over_names_shapes_types_and_bytes() -> None:
    module = torch.nn.Module()
    module.b = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    module.a = torch.nn.Parameter(torch.tensor([[3.0]], dtype=torch.bfloat16))
    # bfloat16 is the upper half of float32: 3.0 is 0x40400000, so 0x4040, little end first
    content = b"a (1, 1) torch.bfloat16\n\x40\x40b (2,) torch.float32\n"
    content += bytes.fromhex("0000803f00000040")  # 1.0 is 0x3f800000, 2.0 is 0x40000000
    assert model_hash(module) == hashlib.sha256(content).hexdigest()


def test_the_hash_sees_every_change() -> None:
    module = torch.nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.arange(6.0).view(2, 3))
    first = model_hash(module)
    assert model_hash(module.double()) != first
    assert model_hash(module.float()) == first
    module.weight = torch.nn.Parameter(module.weight.detach().view(3, 2))
    assert model_hash(module) != first


def test_a_cached_model_of_the_hub_is_found_by_its_id(native, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(download, "optional", lambda name: _Cache(tmp_path))
    save_model(native, tmp_path)
    assert load_model("ORG/NAME").name == "ORG/NAME"


class _Cache:
    """Stands for `huggingface_hub` with one complete model in its cache."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def snapshot_download(self, name: str, local_files_only: bool, **_: object) -> str:
        assert name == "ORG/NAME"
        assert local_files_only, "the network is not needed"
        return str(self.folder)
