"""Decoders of x-transformers as policies, against the library's own forward pass and generation."""

from __future__ import annotations

import copy
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.fast.fast_kernels import FAST
from workbench.core.logps import completion_logps
from workbench.core.policy import PLAIN
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.models.load import Model, load_model, model_hash, save_model
from workbench.models.lora import add_lora, merge_lora
from workbench.models.x_transformers import XTransformersPolicy
from workbench.models.x_transformers_files import load_x_transformers
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.reference.live import freeze

VOCAB = 61
NO_POSITIONS = {"use_abs_pos_emb": False}
# name: changes of the wrapper, changes of its decoder, whether branches and cache are to work
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], bool, bool]] = {
    "absolute": ({}, {}, False, True),
    "tied": ({"tie_embedding": True}, {}, False, True),
    "sinusoidal": ({"scaled_sinu_pos_emb": True}, {}, False, False),
    "rotary": ({}, {"rotary_pos_emb": True, "attn_kv_heads": 2}, True, True),
    "flash": ({}, {"rotary_pos_emb": True, "attn_flash": True}, True, True),
    "xpos": ({}, {"rotary_xpos": True}, True, True),
    "alibi": (NO_POSITIONS, {"alibi_pos_bias": True}, True, True),
    "t5": ({}, {"rel_pos_bias": True}, False, True),
    "shifted": ({}, {"rotary_pos_emb": True, "shift_tokens": 1}, False, False),
    # Nothing of this one's masks can be seen before it is trained.
    "zero": ({}, {"zero_init_branch_output": True, "shift_tokens": 1}, False, False),
}
PAIRS = [
    Pair(prompt=(3, 4, 5, 6), chosen=(7, 8, 1), rejected=(9, 10, 11, 12, 1)),
    Pair(prompt=(13,), chosen=(14, 1), rejected=(15, 16, 17, 1)),
    Pair(prompt=(20, 21), chosen=(22,) * 9, rejected=(1,)),
]
PROMPTS = [[3, 14, 15, 9, 26], [5], [35, 8, 9]]


def arguments(wrapper: dict[str, Any], decoder: dict[str, Any]) -> dict[str, Any]:
    layers = {"dim": 32, "depth": 2, "heads": 4, "attn_dim_head": 8, "verbose": False, **decoder}
    return {"num_tokens": VOCAB, "max_seq_len": 64, "attn_layers": layers, **wrapper}


def build(wrapper: dict[str, Any], decoder: dict[str, Any], kind: str = "Decoder") -> Any:
    library = pytest.importorskip("x_transformers")
    given = arguments(wrapper, decoder)
    layers = given.pop("attn_layers")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        made = library.TransformerWrapper(**given, attn_layers=getattr(library, kind)(**layers))
        with torch.no_grad():
            for weight in made.parameters():
                # So that a wrong mask or position shows; logits stay below 10.
                weight += torch.randn(weight.shape) * max(weight.shape[-1:], default=1) ** -0.5
    return made.eval()


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@functools.cache
def wrapped(kind: str) -> XTransformersPolicy:
    changes = KINDS[kind][:2]
    return XTransformersPolicy(build(*changes), arguments(*changes))


@pytest.fixture
def policy(kind) -> XTransformersPolicy:
    return copy.deepcopy(wrapped(kind))


@pytest.fixture
def rotary() -> XTransformersPolicy:
    return copy.deepcopy(wrapped("rotary"))


@torch.no_grad()
def test_logits_are_the_wrapper_s_own(policy, tokens) -> None:
    expected = policy.model(tokens)
    assert expected.std() > 0.1
    torch.testing.assert_close(policy.logits(tokens), expected, atol=1e-6, rtol=0)
    assert policy.vocab_size == expected.shape[-1]


@torch.no_grad()
def test_padded_rows_are_equal_to_unpadded_ones(policy, kind) -> None:
    for kernels in (PLAIN, FAST):
        policy.kernels = kernels
        together = completion_logps(policy, collate(PAIRS, 0, "stacked"))
        for pair, found in zip(PAIRS, together.view(-1, 2), strict=True):
            for side, value in zip((pair.chosen, pair.rejected), found, strict=True):
                row = torch.tensor([*pair.prompt, *side])
                logps = policy.model(row[None])[0].log_softmax(-1)
                alone = sum(logps[at - 1, row[at]] for at in range(len(pair.prompt), len(row)))
                torch.testing.assert_close(value, alone, atol=1e-5, rtol=1e-6)


@torch.no_grad()
def test_it_offers_what_it_can_do(policy, kind) -> None:
    branches, cache = KINDS[kind][2:]
    assert policy.supports_branches is branches
    assert (policy.new_cache(2, 9) is not None) is cache
    stacked = completion_logps(policy, collate(PAIRS, 0, "stacked"))
    assert policy.layouts[0] == "stacked"
    assert policy.layouts[1:] == (("packed", "shared_prefix") if branches else ())
    for layout in policy.layouts[1:]:
        found = completion_logps(policy, collate(PAIRS, 0, layout))
        torch.testing.assert_close(found, stacked, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("layout", ["shared_prefix", "packed"])
@torch.no_grad()
def test_branches_are_refused_where_they_would_be_wrong(layout) -> None:
    policy = XTransformersPolicy(build({}, {}))
    with pytest.raises(WorkbenchError, match="use stacked rows"):
        completion_logps(policy, collate(PAIRS, 0, layout))


def library_greedy(policy: XTransformersPolicy, prompt: list[int], count: int) -> list[int]:
    library = pytest.importorskip("x_transformers")
    writer = library.AutoregressiveWrapper(policy.model, pad_value=0)
    found = writer.generate(torch.tensor([prompt]), count, temperature=0.0, cache_kv=False)
    policy.eval()
    return found[0].tolist()


@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_text_is_the_library_s(policy, use_cache) -> None:
    config = SamplingConfig(temperature=0, max_new_tokens=14)
    ours = generate(policy, PROMPTS, config, stop_ids={VOCAB}, pad_id=0, use_cache=use_cache)
    assert ours == [library_greedy(policy, prompt, 14) for prompt in PROMPTS]


def test_sampled_rows_do_not_depend_on_the_batch(policy) -> None:
    config = SamplingConfig(temperature=1.5, top_p=0.95, max_new_tokens=10, seed=3)
    together = generate(policy, PROMPTS, config, {1}, 0)
    assert together == [generate(policy, [prompt], config, {1}, 0)[0] for prompt in PROMPTS]


def test_beams_are_the_same_with_and_without_cache(policy) -> None:
    config = SamplingConfig(temperature=0, beams=3, max_new_tokens=8)
    found = [generate(policy, PROMPTS, config, {1}, 0, use_cache=on) for on in (True, False)]
    assert found[0] == found[1]


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_row_that_is_full_does_not_stop_the_others(policy, use_cache) -> None:
    config = SamplingConfig(temperature=0, max_new_tokens=20)
    prompts = [[*range(3, 61), 5, 6], [5, 9]]  # 60 of at most 64 tokens, and 2
    found = generate(policy, prompts, config, {VOCAB}, 0, use_cache=use_cache)
    assert [len(row) for row in found] == [4, 20]
    assert found == [
        library_greedy(policy, row, n) for row, n in zip(prompts, (4, 20), strict=True)
    ]


@torch.no_grad()
def test_a_frozen_copy_keeps_its_own_head(policy, tokens) -> None:
    """The library's function for a tied head would go on with the original's weights."""
    frozen = freeze(policy, "float32")
    before = policy.logits(tokens)
    for weight in policy.parameters():
        weight.mul_(1.5)
    torch.testing.assert_close(frozen.logits(tokens), before)
    assert (policy.logits(tokens) - before).abs().max() > 0.1


def test_dropout_stays_off_in_training(tokens) -> None:
    drop = {"attn_dropout": 0.5, "ff_dropout": 0.5, "layer_dropout": 0.5}
    policy = XTransformersPolicy(build({"emb_dropout": 0.5}, drop))
    calm = policy.hidden(tokens)
    policy.train()
    assert policy.training
    assert torch.equal(policy.hidden(tokens), calm)


@pytest.mark.parametrize(
    ("wrapper", "decoder", "kind", "reason"),
    [
        ({}, {}, "Encoder", "looks ahead"),
        ({}, {"attn_gumbel_softmax": True}, "Decoder", "has no head that gives"),
        ({"logits_dim": 7}, {}, "Decoder", "has no head that gives"),
        ({"num_output_heads": 2}, {}, "Decoder", "takes no rows of tokens"),
        ({"recycling": True}, {}, "Decoder", "recycle_steps"),
        ({}, {"cross_attend": True}, "Decoder", "context must be passed"),
    ],
)
def test_other_wrappers_are_refused_in_words(wrapper, decoder, kind, reason) -> None:
    with pytest.raises(WorkbenchError, match=reason):
        XTransformersPolicy(build(wrapper, decoder, kind))


@pytest.mark.parametrize("other", [None, torch.nn.Linear(2, 2), "AutoregressiveWrapper"])
def test_what_is_no_wrapper_is_refused(rotary, other) -> None:
    if other == "AutoregressiveWrapper":
        other = pytest.importorskip("x_transformers").AutoregressiveWrapper(rotary.model)
    with pytest.raises(WorkbenchError, match="is no TransformerWrapper"):
        XTransformersPolicy(other)


def test_weights_that_are_no_numbers_are_told() -> None:
    wrapper = build({}, {})
    with torch.no_grad():
        next(wrapper.parameters()).fill_(torch.nan)
    with pytest.raises(WorkbenchError, match="logits that are not finite"):
        XTransformersPolicy(wrapper)


def test_recomputing_is_refused(rotary) -> None:
    rotary.recompute = False
    with pytest.raises(WorkbenchError, match="recompute=True"):
        rotary.recompute = True


# -- on disk ----------------------------------------------------------------------------------


@pytest.fixture
def model(policy, tokenizer) -> Model:
    return Model("mine", policy, tokenizer, policy.max_length)


def test_a_saved_model_comes_back_bit_for_bit(model, tokens, tmp_path) -> None:
    state = torch.get_rng_state()
    save_model(model, tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"))
    assert model_hash(again.policy) == model_hash(model.policy)
    assert torch.equal(again.policy.logits(tokens), model.policy.logits(tokens))
    assert again.tokenizer.digest == model.tokenizer.digest
    assert again.max_length == 64
    assert again.policy.layouts == model.policy.layouts
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("around", [False, True], ids=["wrapper", "AutoregressiveWrapper"])
def test_a_state_dict_of_the_library_is_read(rotary, around, tmp_path) -> None:
    library = pytest.importorskip("x_transformers")
    saved = library.AutoregressiveWrapper(rotary.model) if around else rotary.model
    torch.save(saved.state_dict(), tmp_path / "weights.pt")
    again = load_x_transformers(tmp_path / "weights.pt", rotary.arguments)
    assert model_hash(again) == model_hash(rotary)


class Command:
    """What a pickle must not be able to run."""

    def __init__(self, run: Callable[..., Any], text: str) -> None:
        self.run, self.text = run, text

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return self.run, (self.text,)


def test_pickles_are_refused_and_not_run(rotary, tmp_path) -> None:
    mark = tmp_path / "ran"
    torch.save({"weight": Command(exec, f"open({str(mark)!r}, 'w')")}, tmp_path / "evil.pt")
    with pytest.raises(WorkbenchError, match=r"cannot read .*evil.pt"):
        load_x_transformers(tmp_path / "evil.pt", rotary.arguments)
    assert not mark.exists()
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(WorkbenchError, match="is no state dict"):
        load_x_transformers(tmp_path / "list.pt", rotary.arguments)
    torch.save({1: torch.zeros(2)}, tmp_path / "numbered.pt")
    with pytest.raises(WorkbenchError, match="is no state dict"):
        load_x_transformers(tmp_path / "numbered.pt", rotary.arguments)
    (tmp_path / "text.pt").write_text("hello world")
    with pytest.raises(WorkbenchError, match=r"cannot read .*text.pt"):
        load_x_transformers(tmp_path / "text.pt", rotary.arguments)
    with pytest.raises(WorkbenchError, match=r"cannot read .*none.pt"):
        load_x_transformers(tmp_path / "none.pt", rotary.arguments)


def test_weights_and_arguments_that_do_not_fit_are_refused(rotary, tmp_path) -> None:
    torch.save(rotary.model.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(WorkbenchError, match="does not fit the arguments"):
        load_x_transformers(tmp_path / "weights.pt", arguments({}, {"dim": 16}))
    with pytest.raises(WorkbenchError, match="accepted: those of TransformerWrapper"):
        load_x_transformers(tmp_path / "weights.pt", {"num_tokens": VOCAB})
    with pytest.raises(WorkbenchError, match="accepted: those of TransformerWrapper"):
        load_x_transformers(tmp_path / "weights.pt", None)
    with pytest.raises(WorkbenchError, match="no_such_option"):
        load_x_transformers(tmp_path / "weights.pt", arguments({}, {"no_such_option": 1}))


def test_whole_numbers_are_no_weights(rotary, tmp_path) -> None:
    state = rotary.model.state_dict()
    name, weights = next(iter(rotary.model.named_parameters()))
    torch.save({**state, name: torch.ones_like(weights, dtype=torch.int8)}, tmp_path / "weights.pt")
    with pytest.raises(WorkbenchError, match=f"{name} is int8; accepted are"):
        load_x_transformers(tmp_path / "weights.pt", rotary.arguments)


def test_folders_that_lack_something_are_refused(rotary, tokenizer, tmp_path) -> None:
    save_model(Model("mine", rotary, tokenizer, 64), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))

    def refused(match: str, **changes: Any) -> None:
        content = {name: value for name, value in {**config, **changes}.items() if value}
        (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(WorkbenchError, match=match):
            load_model(str(tmp_path))

    refused("has no transformer_wrapper", transformer_wrapper=None)
    (tmp_path / "model.safetensors").unlink()
    refused("has no model.safetensors")
    small = XTransformersPolicy(build({"num_tokens": 50}, {}), arguments({"num_tokens": 50}, {}))
    save_model(Model("small", small, tokenizer, 64), tmp_path)
    with pytest.raises(WorkbenchError, match=r"ids up to 60; the model's 50 embeddings"):
        load_model(str(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(WorkbenchError, match=r"no file .*tokenizer.json"):
        load_model(str(tmp_path))


def test_saving_needs_the_arguments(tokenizer, tmp_path) -> None:
    policy = XTransformersPolicy(build({}, {}))
    with pytest.raises(WorkbenchError, match="XTransformersPolicy"):
        save_model(Model("mine", policy, tokenizer, 64), tmp_path)


def test_without_the_library_the_extra_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "x_transformers", None)
    with pytest.raises(WorkbenchError, match=r"dpo-workbench\[x_transformers\]"):
        load_x_transformers(tmp_path / "weights.pt", arguments({}, {}))


# -- in a run ---------------------------------------------------------------------------------


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    """A model with the vocabulary of the reviews world."""
    changes: tuple[dict[str, Any], dict[str, Any]] = (
        {"num_tokens": trained.tokenizer.vocab_size, "tie_embedding": True},
        {"rotary_pos_emb": True},
    )
    policy = XTransformersPolicy(build(*changes), arguments(*changes))
    save_model(Model("mine", policy, trained.tokenizer, policy.max_length), tmp_path / "model")
    return tmp_path / "model"


def test_it_is_trained_sampled_checkpointed_and_resumed(folder, small, to_step, tmp_path) -> None:
    config = {**small, "model": str(folder), "loss": "dpo"}
    whole = Run.create(TrainConfig(**config, out=str(tmp_path / "whole")))
    assert whole.config.layout == "shared_prefix"
    list(whole)
    stopped = Run.create(TrainConfig(**config, out=str(tmp_path / "stopped"), checkpoint_every=4))
    to_step(stopped, 5)
    del stopped  # as if the process had ended
    resumed = Run.resume(tmp_path / "stopped")
    assert resumed.step == 4
    list(resumed)
    assert model_hash(resumed.policy) == model_hash(whole.policy)
    assert model_hash(whole.policy) != whole.reference_hash
    found = whole.evaluate()
    assert found["held_out/loss"] == pytest.approx(resumed.evaluate()["held_out/loss"], abs=0)
    assert found["held_out/samples/length"] > 0


def test_the_layouts_give_the_same_run(folder, small) -> None:
    losses = []
    for layout in ("stacked", "packed", "shared_prefix"):
        run = Run.create(TrainConfig(**{**small, "model": str(folder), "layout": layout}))
        list(run)
        losses.append(run.evaluate()["held_out/loss"])
    assert losses[1:] == pytest.approx(losses[:1] * 2, abs=1e-4)


def test_layouts_that_are_not_offered_are_refused(trained, small) -> None:
    size = trained.tokenizer.vocab_size
    policy = XTransformersPolicy(build({"num_tokens": size}, {}))
    base = Model("mine", policy, trained.tokenizer, policy.max_length)
    with pytest.raises(WorkbenchError, match="accepted: stacked"):
        Run.create(TrainConfig(**{**small, "layout": "packed"}), base=base)


def test_adapters_leave_the_reference_as_it_is(rotary, tokens) -> None:
    pytest.importorskip("peft")
    before = rotary.logits(tokens)
    add_lora(rotary, 2)
    torch.testing.assert_close(rotary.logits(tokens), before)
    trained = copy.deepcopy(rotary)
    with torch.no_grad():
        for name, weight in trained.named_parameters():
            if "lora_B" in name:
                weight += 0.1
    after = trained.logits(tokens)
    assert (after - before).abs().max() > 0.1
    merge_lora(trained)
    torch.testing.assert_close(trained.logits(tokens), after, atol=1e-4, rtol=1e-4)
