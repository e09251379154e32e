"""Beam search and greedy text against `transformers`, and against looking at every text."""

import itertools

import pytest
import torch

from workbench.core.attention import KVCache
from workbench.core.fast.fast_kernels import FAST
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.json_rows import read_json
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import drafts, generate
from workbench.models.hub import HubPolicy
from workbench.models.llama import decoder_config, read_decoder

PROMPTS = [[3, 14, 15, 9, 26, 5], [5], [35, 8, 9], [8, 9, 7, 9]]
ENDS = {  # of texts up to 14 tokens: none, some and most end by themselves
    "none": [60],
    "some": [1, 2, 13],
    "most": list(range(1, 40, 3)),
}


@pytest.fixture(scope="module")
def llama(make_model):
    return make_model("LlamaConfig")


@pytest.fixture(scope="module", params=["decoder", "hub"])
def policy(request, llama, tmp_path_factory):
    if request.param == "hub":
        return HubPolicy(llama)
    folder = tmp_path_factory.mktemp("llama")
    llama.save_pretrained(folder)
    return read_decoder(folder, decoder_config(read_json(folder / "config.json")))


def theirs(model, prompt: list[int], ends: list[int], count: int, **options) -> list[int]:
    tokens = torch.tensor([prompt])
    found = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=count, do_sample=False,
        eos_token_id=ends, pad_token_id=0, **options,
    )  # fmt: skip
    row = found[0, len(prompt) :].tolist()
    end = next((i for i, token in enumerate(row) if token in ends), len(row))
    return row[:end]


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("beams", [1, 2, 4, 7])
@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_texts_are_those_of_transformers(policy, llama, beams, ends, penalty) -> None:
    config = SamplingConfig(
        temperature=0, beams=beams, repetition_penalty=penalty, max_new_tokens=14
    )
    ours = generate(policy, PROMPTS, config, ENDS[ends], pad_id=0)
    options = {"num_beams": beams, "repetition_penalty": penalty}
    wanted = [theirs(llama, prompt, ENDS[ends], 14, **options) for prompt in PROMPTS]
    assert ours == wanted
    if ends == "some" and beams > 1 and penalty == 1:
        assert len(set(map(len, ours))) > 1


def test_batches_of_transformers_give_the_same(policy, llama) -> None:
    """Padded on the left there, too; its masks then hide the padding as ours do."""
    width = max(map(len, PROMPTS))
    rows = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in PROMPTS])
    found = llama.generate(
        rows, attention_mask=(rows > 0).long(), max_new_tokens=10, num_beams=3, do_sample=False,
        eos_token_id=60, pad_token_id=0,
    )  # fmt: skip
    config = SamplingConfig(temperature=0, beams=3, max_new_tokens=10)
    ours = generate(policy, PROMPTS, config, {60}, pad_id=0)
    assert [len(text) for text in ours] == [10] * len(PROMPTS)
    assert ours == found[:, width:].tolist()


def test_a_cache_that_is_not_reordered_gives_another_text(policy, monkeypatch) -> None:
    """So the comparisons of this file would notice it."""
    config = SamplingConfig(temperature=0, beams=4, max_new_tokens=14)
    right = generate(policy, PROMPTS, config, {60}, pad_id=0)
    kind = type(policy.new_cache(1, 1))
    plain = kind.reorder

    def only_more(cache, rows: torch.Tensor) -> None:
        if rows.tolist() == sorted(rows.tolist()):  # a prompt's rows are made; all else is lost
            plain(cache, rows)

    monkeypatch.setattr(kind, "reorder", only_more)
    assert generate(policy, PROMPTS, config, {60}, pad_id=0) != right
    assert generate(policy, PROMPTS, config, {60}, pad_id=0, use_cache=False) == right


def test_a_reordered_cache_holds_the_rows_asked_for() -> None:
    cache = KVCache(rows=2, kv_heads=1, max_length=4, head_dim=1)
    values = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
    cache.update(0, values, 10 * values)
    cache.length = 1
    cache.reorder(torch.tensor([1, 0, 1]))
    more = torch.full((3, 1, 1, 1), 7.0)
    keys, found = cache.update(0, more, more)
    assert keys[:, 0, :, 0].tolist() == [[2, 7], [1, 7], [2, 7]]
    assert found[:, 0, :, 0].tolist() == [[20, 7], [10, 7], [20, 7]]


@torch.no_grad()
def mean_logp(policy, prompt: list[int], text: tuple[int, ...]) -> float:
    logps = policy.logits(torch.tensor([[*prompt, *text]]))[0].log_softmax(-1)
    after = logps[len(prompt) - 1 :]
    return sum(float(after[index, token]) for index, token in enumerate(text)) / len(text)


@pytest.mark.parametrize("prompt", [[0, 2, 3], [3]])
def test_enough_beams_find_the_best_of_all_texts(prompt) -> None:
    """Of 4 tokens and up to 3 positions; with 40 beams no text is ever dropped."""
    shape = {"dim": 16, "layers": 1, "heads": 2, "kv_heads": 1, "hidden_dim": 24}
    policy = Transformer(TransformerConfig(4, **shape, max_length=12), seed=2, kernels=FAST)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(3)
    end = 1
    texts = [
        text
        for length in (1, 2, 3)
        for text in itertools.product(range(4), repeat=length)
        if end not in text[:-1] and (text[-1] == end or length == 3)
    ]
    best = max(texts, key=lambda text: mean_logp(policy, prompt, text))
    config = SamplingConfig(temperature=0, beams=40, max_new_tokens=3)
    (found,) = generate(policy, [prompt], config, {end}, pad_id=0)
    assert found == [token for token in best if token != end]


def test_a_model_without_a_cache_searches_too(make_model) -> None:
    policy = HubPolicy(make_model("MambaConfig", state_size=4, expand=2))
    config = SamplingConfig(temperature=0, beams=2, max_new_tokens=6)
    prompts = PROMPTS[:1]
    wanted = theirs(policy.model, prompts[0], [60], 6, num_beams=2, use_cache=False)
    assert generate(policy, prompts, config, {60}, 0) == [wanted]


def test_drafts_are_the_best_texts_so_far(policy) -> None:
    config = SamplingConfig(temperature=0, beams=4, max_new_tokens=14)
    found = list(drafts(policy, PROMPTS, config, {60}, pad_id=0))
    assert [len(text) for text in found[0]] == [1] * len(PROMPTS)
    assert found[-1] == generate(policy, PROMPTS, config, {60}, pad_id=0)
    assert any(
        after[: len(before)] != before
        for one, next_one in itertools.pairwise(found)
        for before, after in zip(one, next_one, strict=True)
    ), "a search that never changes its mind was no search"
