"""The small decoder against `LlamaForCausalLM`, both ways through the files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.json_rows import read_json
from workbench.errors import WorkbenchError
from workbench.models.llama import decoder_config, read_decoder, write_decoder

PLAIN = {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 4}


def read(folder: Path) -> Transformer:
    config = decoder_config(read_json(folder / "config.json"))
    assert config is not None
    return read_decoder(folder, config)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("kv_heads", "theta", "head_dim"), [(4, 1e4, 8), (2, 3e5, 8), (1, 5e4, 4)])
@torch.no_grad()
def test_a_llama_checkpoint_gives_the_same_logits(
    make_model, tokens, tmp_path, tied, kv_heads, theta, head_dim
) -> None:
    model = make_model(
        "LlamaConfig",
        tie_word_embeddings=tied,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )
    model.save_pretrained(tmp_path)
    policy = read(tmp_path)
    assert policy.config.rope_theta == theta
    expected = model(tokens).logits
    assert expected.std() > 0.5  # not all alike, or nothing is compared
    torch.testing.assert_close(policy.logits(tokens), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_transformers_loads_what_we_write(tokens, tmp_path, tied) -> None:
    transformers = pytest.importorskip("transformers")
    config = TransformerConfig(
        61, dim=32, heads=4, kv_heads=2, hidden_dim=48, layers=2, rope_theta=7e4,
        max_length=50, norm_eps=1e-4, tie_embeddings=tied, head_dim=6,
    )  # fmt: skip
    policy = Transformer(config, seed=5)
    write_decoder(policy, tmp_path, {"eos_token_id": 1})
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.max_position_embeddings == 50
    torch.testing.assert_close(policy.logits(tokens), model(tokens).logits, atol=1e-5, rtol=1e-5)


def test_what_we_write_comes_back_bit_for_bit_ready_for_training(tmp_path) -> None:
    config = TransformerConfig(61, dim=32, heads=4, hidden_dim=48, layers=2, tie_embeddings=False)
    policy = Transformer(config, seed=5)
    write_decoder(policy, tmp_path, {})
    again = read(tmp_path)
    assert again.config == config
    assert again.state_dict().keys() == policy.state_dict().keys()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, policy.state_dict()[name]), name
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_the_weights_no_longer_depend_on_the_file(tmp_path) -> None:
    policy = Transformer(TransformerConfig(61, dim=32, heads=4, hidden_dim=48, layers=1))
    write_decoder(policy, tmp_path, {})
    path = tmp_path / "model.safetensors"
    again = read(tmp_path)
    before = path.read_bytes()
    with path.open("r+b") as file:  # in place, as some programs do
        file.write(bytes(len(before)))
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, policy.state_dict()[name]), name


@torch.no_grad()
def test_a_checkpoint_in_several_files_and_in_bfloat16(make_model, tokens, tmp_path) -> None:
    model = make_model("LlamaConfig").to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    policy = read(tmp_path)
    assert {parameter.dtype for parameter in policy.parameters()} == {torch.float32}
    loaded = type(model).from_pretrained(tmp_path, dtype=torch.float32)
    expected = loaded(tokens).logits
    torch.testing.assert_close(policy.logits(tokens), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "extra",
    [
        {"model_type": "mistral"},
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"mlp_bias": True},
        {"quantization_config": {"bits": 4}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
        {"partial_rotary_factor": 0.5},
    ],
)
def test_what_the_decoder_leaves_out_is_left_to_others(extra) -> None:
    assert decoder_config(PLAIN) is not None
    assert decoder_config({**PLAIN, **extra}) is None


@pytest.mark.parametrize(
    ("written", "theta"),
    [
        ({}, 1e4),
        ({"rope_theta": 5e5}, 5e5),
        ({"rope_theta": 5e5, "rope_scaling": None}, 5e5),
        ({"rope_theta": 5e5, "rope_scaling": {"type": "default"}}, 5e5),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 2e5}}, 2e5),
    ],
)
def test_every_way_to_write_the_rotary_base(written, theta) -> None:
    config = decoder_config({**PLAIN, **written})
    assert config is not None
    assert config.rope_theta == theta


def test_what_a_silent_config_means_to_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    silent = decoder_config({"model_type": "llama"})
    spoken = decoder_config(transformers.LlamaConfig().to_dict())
    assert silent == spoken


@pytest.fixture
def folder(tmp_path) -> Path:
    policy = Transformer(TransformerConfig(61, dim=32, heads=4, hidden_dim=48, layers=1))
    write_decoder(policy, tmp_path, {})
    return tmp_path


def change(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_weights_of_another_shape_are_named(folder) -> None:
    change(folder, intermediate_size=40)
    with pytest.raises(WorkbenchError, match=r"down_proj\.weight is \(32, 48\).* \(32, 40\)"):
        read(folder)


def test_whole_numbers_are_no_weights(folder) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file({**weights, "model.norm.weight": torch.ones(32, dtype=torch.int32)}, path)
    with pytest.raises(WorkbenchError, match=r"model\.norm\.weight is int32; accepted are"):
        read(folder)


def test_missing_weights_are_named(folder) -> None:
    change(folder, num_hidden_layers=2)
    with pytest.raises(WorkbenchError, match=r"no weights for layers\.1\.input_layernorm"):
        read(folder)


def test_weights_without_a_parameter_are_named(folder) -> None:
    path = folder / "model.safetensors"
    save_file({**load_file(path), "model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}, path)
    with pytest.raises(WorkbenchError, match=r"q_proj\.bias, for which"):
        read(folder)


def test_old_checkpoints_carry_rotary_frequencies(folder) -> None:
    path = folder / "model.safetensors"
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)}
    save_file({**load_file(path), **extra}, path)
    read(folder)


def test_tied_checkpoints_may_carry_their_head(folder) -> None:
    path = folder / "model.safetensors"
    save_file({**load_file(path), "lm_head.weight": torch.zeros(61, 32)}, path)
    assert "lm_head.weight" not in read(folder).state_dict()


def test_older_readers_find_the_format(folder) -> None:
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_broken_file_is_named(folder) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WorkbenchError, match=r"cannot read .*model\.safetensors"):
        read(folder)


def test_a_missing_part_is_named(folder) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(WorkbenchError, match="model-00002-of-00002"):
        read(folder)


def test_pickles_are_not_read(folder) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WorkbenchError, match=r"pickled weights .* are not read"):
        read(folder)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_config_that_is_no_object_is_named(folder, text) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(WorkbenchError, match=r"config\.json"):
        read_json(folder / "config.json")
