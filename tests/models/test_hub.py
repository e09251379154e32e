"""Other people's models against `transformers` itself, on tiny models of several kinds."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.logps import completion_logps
from workbench.core.policy import Policy
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.models.hub import HubPolicy

KINDS = {
    "llama": ("LlamaConfig", {}),
    "qwen2": ("Qwen2Config", {}),  # biases
    "gpt2": ("GPT2Config", {}),  # learned positions
    "gemma2": (  # soft caps, a sliding window on every other layer
        "Gemma2Config",
        {"head_dim": 8, "final_logit_softcapping": 3.0, "sliding_window": 40},
    ),
    "granite": ("GraniteConfig", {"logits_scaling": 3.0}),
    "cohere": ("CohereConfig", {"logit_scale": 0.25}),
}
PAIRS = [
    Pair(prompt=(3, 4, 5, 6), chosen=(7, 8, 1), rejected=(9, 10, 11, 12, 1)),
    Pair(prompt=(13,), chosen=(14, 1), rejected=(15, 16, 17, 1)),
    Pair(prompt=(20, 21), chosen=(22,) * 9, rejected=(1,)),
]
PROMPTS = [[3, 14, 15, 9, 26], [5], [35, 8, 9]]


@pytest.fixture(params=KINDS)
def policy(request, make_model) -> HubPolicy:
    kind, changes = KINDS[request.param]
    return HubPolicy(make_model(kind, **changes))


@torch.no_grad()
def test_head_and_hidden_states_give_the_model_s_logits(policy, tokens) -> None:
    assert isinstance(policy, Policy)
    expected = policy.model(tokens).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(policy.logits(tokens), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_both_layouts_give_the_same_log_probabilities(policy) -> None:
    assert policy.supports_branches
    stacked = completion_logps(policy, collate(PAIRS, 0, "stacked"))
    shared = completion_logps(policy, collate(PAIRS, 0, "shared_prefix"))
    torch.testing.assert_close(shared, stacked, atol=1e-4, rtol=1e-5)


def test_recomputed_activations_give_the_same_gradient(policy) -> None:
    gradients, kept = [], []
    for on in (False, True):
        policy.recompute = on
        assert policy.recompute is on
        policy.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: (kept[-1].append(t.numel()), t)[1], lambda t: t
        ):
            kept.append([])
            total = completion_logps(policy, collate(PAIRS, 0, "shared_prefix")).sum()
        total.backward()
        gradients.append([w.grad.clone() for w in policy.parameters() if w.grad is not None])
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)
    assert sum(kept[1]) < sum(kept[0])


def test_texts_are_the_same_while_activations_are_recomputed(policy) -> None:
    """Parts of `transformers` that recompute fill no cache."""
    config = SamplingConfig(max_new_tokens=6, temperature=0)
    expected = generate(policy, PROMPTS, config, {1}, 0)
    policy.recompute = True
    assert generate(policy, PROMPTS, config, {1}, 0) == expected
    assert policy.recompute
    assert any(part.training for part in policy.model.modules())


@torch.no_grad()
def test_masks_hold_in_mixed_precision(policy) -> None:
    exact = completion_logps(policy, collate(PAIRS, 0, "stacked"))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = completion_logps(policy, collate(PAIRS, 0, "shared_prefix"))
    # bfloat16 has 8 bits: a few per cent of sums that lie apart by far more
    torch.testing.assert_close(rounded, exact, atol=0.5, rtol=0.05)
    assert exact.std() > 2


def hub_greedy(policy: HubPolicy, prompt: list[int], count: int, **options: object) -> list[int]:
    tokens = torch.tensor([prompt])
    found = policy.model.generate(
        tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=count, do_sample=False,
        pad_token_id=0, **options,
    )  # fmt: skip
    return found[0, len(prompt) :].tolist()


@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_text_is_the_one_of_transformers(policy, use_cache) -> None:
    config = SamplingConfig(temperature=0, max_new_tokens=14)
    ours = generate(policy, PROMPTS, config, stop_ids={1}, pad_id=0, use_cache=use_cache)
    theirs = [hub_greedy(policy, prompt, 14, eos_token_id=1) for prompt in PROMPTS]
    assert ours == [[token for token in row if token != 1] for row in theirs]


def test_sampled_rows_do_not_depend_on_the_batch(policy) -> None:
    config = SamplingConfig(temperature=1.5, top_p=0.95, max_new_tokens=10, seed=3)
    together = generate(policy, PROMPTS, config, {1}, 0)
    assert together == [generate(policy, [prompt], config, {1}, 0)[0] for prompt in PROMPTS]


def test_a_model_that_takes_only_masks_over_keys_still_samples_in_batches(make_model) -> None:
    """Bloom makes its positions from the mask: no branches, but padded rows work."""
    model = make_model("BloomConfig")
    policy = HubPolicy(model)
    assert not policy.supports_branches
    config = SamplingConfig(temperature=0, max_new_tokens=8)
    theirs = [hub_greedy(policy, prompt, 8, eos_token_id=60) for prompt in PROMPTS]
    assert generate(policy, PROMPTS, config, {60}, 0) == [
        [token for token in row if token != 60] for row in theirs
    ]
    stacked = completion_logps(policy, collate(PAIRS, 0, "stacked"))
    alone = [completion_logps(policy, collate([pair], 0, "stacked")) for pair in PAIRS]
    torch.testing.assert_close(stacked, torch.cat(alone), atol=1e-4, rtol=1e-5)


def test_a_model_with_another_kind_of_cache_samples_without(make_model) -> None:
    policy = HubPolicy(make_model("MambaConfig", state_size=4, expand=2))
    assert policy.new_cache(1, 10) is None
    config = SamplingConfig(temperature=0, max_new_tokens=6)
    assert generate(policy, PROMPTS[:1], config, {1}, 0)[0] == [
        token for token in hub_greedy(policy, PROMPTS[0], 6, eos_token_id=1) if token != 1
    ]


def test_a_head_that_is_not_known_is_refused(make_model) -> None:
    model = make_model("LlamaConfig")
    plain = model.forward

    def forward(*args: object, **options: object) -> object:
        output = plain(*args, **options)
        output.logits = output.logits * 1.1
        return output

    model.forward = forward
    with pytest.raises(WorkbenchError, match="LlamaForCausalLM changes its logits"):
        HubPolicy(model)


def test_dropout_stays_off_in_training(make_model, tokens) -> None:
    model = make_model("GPT2Config", resid_pdrop=0.5, attn_pdrop=0.5, embd_pdrop=0.5)
    policy = HubPolicy(model)
    calm = policy.hidden(tokens)
    policy.train()
    assert policy.training
    assert torch.equal(policy.hidden(tokens), calm)


@pytest.mark.parametrize(
    ("kind", "changes", "length"),
    [
        ("LlamaConfig", {}, 64),
        ("GPT2Config", {"n_positions": 32, "max_position_embeddings": 32}, 32),
        ("Gemma2Config", {"head_dim": 8, "sliding_window": 16}, 16),
        ("Qwen2Config", {"sliding_window": 16, "use_sliding_window": False}, 64),
    ],
)
def test_the_longest_row(make_model, kind, changes, length) -> None:
    assert HubPolicy(make_model(kind, **changes)).max_length == length


def test_the_global_random_state_stays_as_it_was(make_model) -> None:
    model = make_model("Qwen2Config")
    before = torch.get_rng_state()
    HubPolicy(model)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("use_cache", [True, False])
def test_rows_of_unequal_length_are_written_to_the_last_learned_position(
    make_model: Callable[..., Any], use_cache: bool
) -> None:
    """The row with the longer prompt ends first, and goes on as padding beside the other."""
    policy = HubPolicy(make_model("GPT2Config", n_positions=32, max_position_embeddings=32))
    prompts, greedy = [[3, 4, 5], [6, 7, 8, 9, 10, 11]], SamplingConfig(0.0, max_new_tokens=100)
    both = generate(policy, prompts, greedy, (), 0, use_cache)
    assert [len(answer) for answer in both] == [29, 26]
    assert both == [generate(policy, [prompt], greedy, (), 0, use_cache)[0] for prompt in prompts]
