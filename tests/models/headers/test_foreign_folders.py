"""Folders of weights from strangers: what is read of them, and how large they may be."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError
from workbench.models.headers import sizes
from workbench.models.headers.sizes import check_sizes
from workbench.models.headers.tensor_headers import INDEX, WEIGHTS, stored_tensors, weight_files
from workbench.models.load import Model, load_model, save_model


@pytest.fixture
def folder(tokenizer, tmp_path) -> Path:
    config = TransformerConfig(61, dim=32, heads=4, kv_heads=2, hidden_dim=48, layers=2)
    policy = Transformer(config, seed=4)
    save_model(Model("small", policy, tokenizer, config.max_length), tmp_path / "small")
    return tmp_path / "small"


@pytest.mark.parametrize("layout", ["hub", "same"])
def test_links_of_the_hub_s_cache_and_inside_the_folder_are_followed(folder, tmp_path, layout):
    repository = tmp_path / "models--ORG--NAME"
    snapshot = repository / "snapshots" / "abc" if layout == "hub" else tmp_path / "same"
    kept = repository / "blobs" if layout == "hub" else snapshot / "blobs"
    snapshot.mkdir(parents=True)
    kept.mkdir(parents=True)
    for path in folder.iterdir():
        os.replace(path, kept / path.name)
        (snapshot / path.name).symlink_to(os.path.relpath(kept / path.name, snapshot))
    assert load_model(str(snapshot)).max_length == 256


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json"])
def test_links_out_of_the_folder_are_refused(folder, tmp_path, name) -> None:
    os.replace(folder / name, tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(WorkbenchError, match=f"{name} leads out of its folder"):
        load_model(str(folder))


def test_blobs_that_are_a_link_themselves_are_not_the_cache(folder, tmp_path) -> None:
    (tmp_path / "x" / "snapshots").mkdir(parents=True)
    snapshot = folder.rename(tmp_path / "x" / "snapshots" / "abc")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.replace(snapshot / WEIGHTS, elsewhere / WEIGHTS)
    (tmp_path / "x" / "blobs").symlink_to(elsewhere)
    (snapshot / WEIGHTS).symlink_to("../../blobs/model.safetensors")
    with pytest.raises(WorkbenchError, match="leads out of its folder"):
        load_model(str(snapshot))


@pytest.mark.parametrize(
    "name", ["weights.bin", "../x.safetensors", "/x.safetensors", "a\\b.safetensors", 1, None]
)
def test_an_index_names_safetensors_of_its_folder_alone(folder, name) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(WorkbenchError, match=r"accepted are \.safetensors files of the same"):
        weight_files(folder)


def test_a_weight_in_two_files_is_refused(folder) -> None:
    (folder / WEIGHTS).rename(folder / "a.safetensors")
    one = load_file(folder / "a.safetensors")
    save_file({"model.norm.weight": one["model.norm.weight"] + 1}, folder / "b.safetensors")
    names = {"x": "a.safetensors", "y": "b.safetensors"}
    (folder / INDEX).write_text(json.dumps({"weight_map": names}))
    with pytest.raises(WorkbenchError, match=r"norm\.weight, as a\.safetensors does"):
        load_model(str(folder))


def test_a_weight_under_two_names_is_refused(folder) -> None:
    one = load_file(folder / WEIGHTS)
    save_file({**one, "norm.weight": torch.zeros(32)}, folder / WEIGHTS)
    with pytest.raises(WorkbenchError, match=r"norm\.weight twice"):
        load_model(str(folder))


def test_a_header_is_bounded(folder) -> None:
    path = folder / WEIGHTS
    path.write_bytes((2**40).to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(WorkbenchError, match="its header has"):
        stored_tensors([path])


def test_a_model_larger_than_the_memory_is_told(folder, monkeypatch) -> None:
    monkeypatch.setattr(sizes, "_memory", lambda: 1000)
    with pytest.raises(WorkbenchError, match="in float32; this machine has 0"):
        load_model(str(folder))


SHAPES = [(61, 32), (32, 48), (32,)]


@pytest.mark.parametrize(
    ("config", "accepted"),
    [
        ({"num_hidden_layers": 4}, "from 1 to 3"),
        ({"hidden_size": 62}, "from 1 to 61"),
        ({"hidden_size": 1.0}, "whole numbers"),
        ({"num_attention_heads": True}, "whole numbers"),
        ({"text_config": {"n_layer": 10**9}}, "from 1 to 3"),
        ({"num_experts": 10**6}, "at most 8,192"),
        ({"rope_theta": float("nan")}, "above 0"),
        ({"rope_scaling": []}, "an object"),
        ({"tie_word_embeddings": "no"}, "true or false"),
    ],
)
def test_sizes_are_bounded_by_the_weights(config, accepted) -> None:
    check_sizes({"num_hidden_layers": 3, "hidden_size": 61, "n_inner": None}, Path("c"), SHAPES)
    with pytest.raises(WorkbenchError, match=f"^c: .* is not accepted: .*{accepted}"):
        check_sizes(config, Path("c"), SHAPES)
