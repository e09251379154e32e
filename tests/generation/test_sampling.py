"""Sampling against plain definitions: one prompt, no padding, no cache."""

import pytest
import torch
from torch import Tensor

from workbench.core.fast.fast_kernels import FAST
from workbench.core.policy import PLAIN
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate, row_generators, stream

VOCAB = 23
PROMPTS = [[3, 1, 4, 1, 5, 9, 2, 6], [7], [2, 7, 1], [8, 2, 8, 1, 8]]
CONFIGS = [
    SamplingConfig(temperature=0, max_new_tokens=12),
    SamplingConfig(temperature=1.3, max_new_tokens=12, seed=4),
    SamplingConfig(temperature=2.0, top_k=9, top_p=0.8, min_p=0.02, max_new_tokens=12, seed=5),
]


@pytest.fixture(scope="module")
def policy() -> Transformer:
    shape = {"dim": 32, "layers": 2, "heads": 4, "kv_heads": 2, "hidden_dim": 48}
    policy = Transformer(TransformerConfig(VOCAB, **shape, max_length=40), seed=1, kernels=FAST)
    with torch.no_grad():  # far from uniform, so that a wrong mask or position changes the text
        for parameter in policy.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    return policy


def plain_greedy(policy: Transformer, prompt: list[int], count: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(policy.logits(torch.tensor([tokens]))[0, -1].argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("stop_ids", [frozenset(), frozenset({1, 5})])
def test_cached_equals_uncached_and_batched_equals_one_by_one(policy, config, stop_ids) -> None:
    together = generate(policy, PROMPTS, config, stop_ids, pad_id=0)
    uncached = generate(policy, PROMPTS, config, stop_ids, pad_id=0, use_cache=False)
    alone = [generate(policy, [prompt], config, stop_ids, pad_id=0)[0] for prompt in PROMPTS]
    assert together == uncached == alone
    assert any(len(row) == 12 for row in together) or stop_ids
    assert not stop_ids & {token for row in together for token in row}


def test_greedy_is_the_argmax_of_a_plain_forward(policy) -> None:
    rows = generate(policy, PROMPTS, CONFIGS[0], stop_ids=(), pad_id=0)
    assert rows == [plain_greedy(policy, prompt, 12) for prompt in PROMPTS]


def test_the_padding_id_changes_nothing(policy) -> None:
    texts = [generate(policy, PROMPTS, CONFIGS[1], {5}, pad_id=pad) for pad in (0, 5, 8)]
    assert texts[0] == texts[1] == texts[2]


def test_an_end_token_ends_its_row_and_the_row_gives_padding_from_then_on(policy) -> None:
    free = generate(policy, PROMPTS, CONFIGS[1], stop_ids=(), pad_id=0)
    stop = free[0][3]  # ends row 0 after three tokens at the latest, though some prompts hold it
    kept = free[0].index(stop)
    columns = torch.stack(list(stream(policy, PROMPTS[:1] * 1, CONFIGS[1], {stop}, pad_id=22)))
    assert columns[:, 0].tolist() == free[0][: kept + 1]  # one row: no step after its end
    both = torch.stack(list(stream(policy, PROMPTS, CONFIGS[1], {stop}, pad_id=22)))
    assert both[kept + 1 :, 0].tolist() == [22] * (len(both) - kept - 1)
    assert generate(policy, PROMPTS, CONFIGS[1], {stop}, pad_id=22)[0] == free[0][:kept]


def test_an_end_token_inside_a_prompt_ends_nothing(policy) -> None:
    first = generate(policy, [PROMPTS[0]], CONFIGS[0], stop_ids=(), pad_id=0)[0]
    stops = set(PROMPTS[0]) - set(first)
    assert stops, "the prompt needs a token that the answer has not"
    assert generate(policy, [PROMPTS[0]], CONFIGS[0], stops, pad_id=0)[0] == first


def test_the_same_seed_repeats_and_another_does_not(policy) -> None:
    config = SamplingConfig(temperature=2.0, max_new_tokens=20, seed=1)
    other = SamplingConfig(temperature=2.0, max_new_tokens=20, seed=2)
    first = generate(policy, PROMPTS, config, (), 0)
    assert generate(policy, PROMPTS, config, (), 0) == first
    assert generate(policy, PROMPTS, other, (), 0) != first


def test_repeated_prompts_get_different_texts(policy) -> None:
    config = SamplingConfig(temperature=2.0, max_new_tokens=20)
    twice = generate(policy, [PROMPTS[0], PROMPTS[1], PROMPTS[0]], config, (), 0)
    assert twice[0] != twice[2]
    assert twice[0] == generate(policy, [PROMPTS[0]], config, (), 0)[0]


def test_every_row_has_noise_of_its_own() -> None:
    prompts = [[1], [2], [1], [1, 2]]
    draws = {
        torch.rand(1, generator=generator).item()
        for seed in (0, 1)
        for generator in row_generators(prompts, seed, torch.device("cpu"))
    }
    assert len(draws) == 8


def test_the_global_random_state_and_the_mode_stay_as_they_were(policy) -> None:
    policy.train()
    before = torch.get_rng_state()
    for _ in stream(policy, PROMPTS, CONFIGS[1], (), 0):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert torch.equal(torch.get_rng_state(), before)
    assert policy.training


def test_columns_can_meet_autograd(policy) -> None:
    column = next(stream(policy, PROMPTS, CONFIGS[1], (), 0))
    policy.logits(column[:, None]).sum().backward()
    policy.zero_grad()


def test_padding_sees_itself_and_no_text_sees_padding(policy, monkeypatch) -> None:
    """A position that sees nothing gives NaN in some implementations of attention."""
    masks = []
    plain = policy.hidden

    def hidden(tokens: Tensor, positions: Tensor, mask: Tensor, cache: object) -> Tensor:
        masks.append(mask)
        return plain(tokens, positions, mask, cache)

    monkeypatch.setattr(policy, "hidden", hidden)
    monkeypatch.setattr(policy, "kernels", PLAIN)  # the quick step has a test of its own
    list(stream(policy, [[1, 2, 3], [4]], SamplingConfig(max_new_tokens=2), (), 0))
    first, second = masks
    assert first[0].tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert first[1].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]  # two positions of padding
    assert second.tolist() == [[[1, 1, 1, 1]], [[0, 0, 1, 1]]]


def test_a_row_ends_where_the_length_of_the_model_does(policy) -> None:
    config = SamplingConfig(max_new_tokens=12)
    prompts = [[1] * 35, [2, 3]]  # 40 positions in all: 5 are left for the first
    assert [len(row) for row in generate(policy, prompts, config, (), 0)] == [5, 12]
    columns = torch.stack(list(stream(policy, prompts, config, (), pad_id=22)))
    assert columns[5:, 0].tolist() == [22] * 7
    with pytest.raises(WorkbenchError, match="prompt 1 has 40 tokens; accepted: 1 to 39"):
        generate(policy, [[1], [1] * 40], config, (), 0)


@pytest.mark.parametrize("prompts", [[], [[1], []]])
def test_no_prompt_is_refused(policy, prompts) -> None:
    with pytest.raises(WorkbenchError, match="prompt"):
        generate(policy, prompts, SamplingConfig(), (), 0)
