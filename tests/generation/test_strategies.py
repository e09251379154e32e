"""What holds for every way to choose tokens, on the small decoder and on a hub model."""

import pytest
import torch
from torch import Tensor

from workbench.core.fast.fast_kernels import FAST
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.filters import contrast
from workbench.generation.sampling import drafts, generate, stream
from workbench.models.hub import HubPolicy

VOCAB = 61
PROMPTS = [[3, 14, 15, 9, 26, 5, 35], [5], [35, 8, 9], [8, 9, 7, 9, 3]]
STRATEGIES = {
    "greedy": {"temperature": 0},
    "temperature": {"temperature": 1.3},
    "top_k": {"temperature": 2.0, "top_k": 9},
    "top_p": {"temperature": 2.0, "top_p": 0.8},
    "min_p": {"temperature": 2.0, "min_p": 0.05},
    "top_a": {"temperature": 2.0, "top_a": 0.3},
    "all filters": {"temperature": 2.0, "top_k": 30, "top_p": 0.95, "min_p": 0.01, "top_a": 0.05},
    "repetition penalty": {"temperature": 0, "repetition_penalty": 1.7},
    "repetition penalty, drawn": {"temperature": 1.5, "repetition_penalty": 1.7},
    "beams": {"temperature": 0, "beams": 3},
    "beams with penalty": {"temperature": 0, "beams": 3, "repetition_penalty": 1.7},
    "contrast": {"temperature": 0, "contrast_alpha": 0.05},
    "contrast, drawn": {"temperature": 1.5, "contrast_alpha": 0.05, "top_k": 8},
    "stop strings": {"temperature": 1.5, "stop": ("7 1", "33")},
    "beams with stop strings": {"temperature": 0, "beams": 3, "stop": ("7 1", "33", "9")},
}


def spell(ids) -> str:
    """Tokens as numbers with blanks between: a stop string may reach over several."""
    return " ".join(map(str, ids))


@pytest.fixture(scope="module", params=["decoder", "hub"])
def models(request, make_model):
    """A policy and another model with its vocabulary."""
    if request.param == "hub":
        kind = {"head_dim": 8, "final_logit_softcapping": 3.0, "sliding_window": 40}
        return HubPolicy(make_model("Gemma2Config", **kind)), HubPolicy(make_model("LlamaConfig"))
    shape = {"dim": 32, "layers": 2, "heads": 4, "kv_heads": 2, "hidden_dim": 48}
    config = TransformerConfig(VOCAB, **shape, max_length=40)
    both = [Transformer(config, seed=seed, kernels=FAST) for seed in (1, 2)]
    with torch.no_grad():  # far from uniform, so that a wrong mask or position changes the text
        for parameter in (p for model in both for p in model.parameters() if p.ndim == 2):
            parameter.mul_(8)
    return both


@pytest.fixture(params=STRATEGIES)
def asked(request, models):
    """The arguments of a strategy, as `generate`, `drafts` and `stream` take them."""
    config = SamplingConfig(**STRATEGIES[request.param], max_new_tokens=12, seed=4)
    amateur = models[1] if config.contrast_alpha else None
    return {"config": config, "decode": spell, "amateur": amateur, "pad_id": 0}


@pytest.mark.parametrize("stop_ids", [frozenset(), frozenset(range(1, 40, 4))])
def test_cached_equals_uncached_and_batched_equals_one_by_one(models, asked, stop_ids) -> None:
    policy = models[0]
    together = generate(policy, PROMPTS, stop_ids=stop_ids, **asked)
    uncached = generate(policy, PROMPTS, stop_ids=stop_ids, use_cache=False, **asked)
    alone = [generate(policy, [prompt], stop_ids=stop_ids, **asked)[0] for prompt in PROMPTS]
    assert together == uncached == alone
    assert not stop_ids & {token for row in together for token in row}
    if not stop_ids and not asked["config"].stop:
        assert [len(row) for row in together] == [12] * len(PROMPTS)


@pytest.mark.parametrize("stop_ids", [frozenset(), frozenset(range(1, 40, 4))])
def test_streams_and_drafts_end_as_what_is_generated(models, asked, stop_ids) -> None:
    policy = models[0]
    wanted = generate(policy, PROMPTS, stop_ids=stop_ids, **asked)
    found = list(drafts(policy, PROMPTS, stop_ids=stop_ids, **asked))
    assert found[-1] == wanted
    columns = torch.stack(list(stream(policy, PROMPTS, stop_ids=stop_ids, **asked)), dim=1)
    assert (
        len(found)
        >= columns.shape[1]
        == max(len(row) for row in wanted) + any_ended(columns, stop_ids, wanted)
    )
    for row, text in zip(columns.tolist(), wanted, strict=True):
        assert row[: len(text)] == text
        ended, *padding = row[len(text) :] or [0]
        assert ended in stop_ids or ended == 0
        assert set(padding) <= {0}
    if asked["config"].beams == 1:
        for step, texts in enumerate(found, start=1):
            assert texts == [text[:step] for text in wanted]


def any_ended(columns: Tensor, stop_ids: frozenset[int], texts: list[list[int]]) -> bool:
    """Whether one of the longest texts is followed by its end token."""
    longest = max(map(len, texts))
    return any(
        len(text) == longest and len(row) > longest and row[longest] in stop_ids
        for row, text in zip(columns.tolist(), texts, strict=True)
    )


def test_the_padding_id_changes_nothing(models, asked) -> None:
    texts = [
        generate(models[0], PROMPTS, stop_ids={5, 9}, **{**asked, "pad_id": pad})
        for pad in (0, 5, 8)
    ]
    assert texts[0] == texts[1] == texts[2]


def test_no_mode_is_left_on_between_steps(models, asked) -> None:
    before = torch.get_rng_state()
    for _ in stream(models[0], PROMPTS, stop_ids=(), **asked):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_row_ends_where_the_shorter_model_does(models, asked) -> None:
    policy = models[0]
    longest = min(getattr(m, "max_length", 0) or m.config.max_length for m in models)
    prompts = [[3, 4, 5] * 20, [2, 3]]
    prompts[0] = prompts[0][: longest - 5]
    config = asked["config"]
    if not config.stop:
        lengths = [len(row) for row in generate(policy, prompts, stop_ids=(), **asked)]
        assert lengths == [5, 12]


# Contrastive decoding.


def test_contrast_by_plain_forwards(models) -> None:
    policy, amateur = models
    config = SamplingConfig(temperature=0, contrast_alpha=0.1, max_new_tokens=10)
    found = generate(policy, PROMPTS, config, (), 0, amateur=amateur)
    assert found != generate(
        policy, PROMPTS, SamplingConfig(temperature=0, max_new_tokens=10), (), 0
    )
    with torch.no_grad():
        for prompt, text in zip(PROMPTS, found, strict=True):
            tokens = list(prompt)
            for token in text:
                expert, other = (
                    m.logits(torch.tensor([tokens]))[0, -1].softmax(-1) for m in models
                )
                likely = expert >= 0.1 * expert.max()
                assert int(((expert / other) * likely).argmax()) == token
                tokens.append(token)


def test_the_amateur_of_a_drawn_text_shares_the_noise(models) -> None:
    """With nothing but the expert's best token left, noise changes nothing."""
    policy, amateur = models
    config = SamplingConfig(temperature=3.0, contrast_alpha=1.0, max_new_tokens=6)
    greedy = SamplingConfig(temperature=0, max_new_tokens=6)
    assert generate(policy, PROMPTS, config, (), 0, amateur=amateur) == generate(
        policy, PROMPTS, greedy, (), 0
    )


def test_an_amateur_and_its_setting_go_together(models) -> None:
    policy, amateur = models
    with pytest.raises(WorkbenchError, match=r"contrast_alpha=0.1 with no amateur"):
        generate(policy, PROMPTS, SamplingConfig(contrast_alpha=0.1), (), 0)
    with pytest.raises(WorkbenchError, match=r"contrast_alpha=0 with an amateur"):
        generate(policy, PROMPTS, SamplingConfig(), (), 0, amateur=amateur)


def test_a_policy_against_itself_scores_alike(models) -> None:
    logits = torch.randn(2, VOCAB, generator=torch.Generator().manual_seed(0))
    scores = contrast(logits, logits, 0.2)
    alive = scores.isfinite()
    assert alive.sum() > 2
    for row, kept in zip(scores, alive, strict=True):
        assert row[kept].max() - row[kept].min() < 1e-5


# Repetition penalty.


def test_padding_is_never_penalised(models) -> None:
    """A short prompt next to a long one: the padding's id must not count as present."""
    policy = models[0]
    plain = SamplingConfig(temperature=0, max_new_tokens=1)
    first = generate(policy, [[5]], plain, (), 0)[0][0]
    config = SamplingConfig(temperature=0, max_new_tokens=1, repetition_penalty=10.0)
    texts = generate(policy, [[5], [3, 4, 5, 6, 7, 8]], config, (), pad_id=first)
    assert texts[0] == [first]


def test_prompt_and_answer_are_penalised(models) -> None:
    policy = models[0]
    config = SamplingConfig(temperature=0, max_new_tokens=12, repetition_penalty=10.0)
    with torch.no_grad():
        for prompt, text in zip(PROMPTS, generate(policy, PROMPTS, config, (), 0), strict=True):
            tokens = list(prompt)
            for token in text:
                logits = policy.logits(torch.tensor([tokens]))[0, -1]
                for seen in set(tokens):
                    logits[seen] = logits[seen] / 10 if logits[seen] > 0 else logits[seen] * 10
                assert int(logits.argmax()) == token
                tokens.append(token)
