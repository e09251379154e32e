"""The DPO loss of x-transformers beside ours, on the same rows, policy and reference."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from workbench.compare.mistakes import PADDING, PROMPT, Rows
from workbench.compare.pair_scoring import score_rows, text_rows
from workbench.core.collation import collate, pairs_from_prompt_mask
from workbench.core.logps import completion_logps
from workbench.core.losses import LOSSES, PairLogps
from workbench.models.x_transformers import XTransformersPolicy

library = pytest.importorskip("x_transformers")
TEXTS = ("word1 word2 word3", "word4 word5", "word6 word7 word8 word9 word10")
BETA = 0.5


def wrapper(**options: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        layers = library.Decoder(dim=32, depth=2, heads=4, attn_dim_head=8)
        return library.TransformerWrapper(
            num_tokens=61, max_seq_len=32, attn_layers=layers, **options
        )


def train_a_little(dpo: Any) -> None:
    """Changes the policy as training would, so that it is not its reference any more."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in dpo.policy_model.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)


@pytest.fixture
def dpo() -> Any:
    made = library.DPO(wrapper(), beta=BETA)
    train_a_little(made)
    return made.eval()


@pytest.fixture
def models(dpo) -> tuple[XTransformersPolicy, XTransformersPolicy]:
    return XTransformersPolicy(dpo.policy_model), XTransformersPolicy(dpo.ref_model)


def arguments(rows: Rows) -> dict[str, torch.Tensor]:
    """A pair as the library's DPO takes it."""
    real = rows.roles != PADDING
    return {
        "preferred_seq": rows.tokens[:1],
        "unpreferred_seq": rows.tokens[1:],
        "prompt_mask": rows.roles[:1] == PROMPT,
        "preferred_seq_mask": real[:1],
        "unpreferred_seq_mask": real[1:],
    }


def test_two_mistakes_are_its_loss(dpo, models, tokenizer) -> None:
    """The mask is sliced as the inputs are, and the mean is taken: value and gradient."""
    rows = text_rows(tokenizer, *TEXTS, ["mask_off_by_one", "mean_for_sum"])
    ours = score_rows(*models, rows, BETA)
    theirs = dpo(**arguments(rows))
    assert ours.loss == pytest.approx(theirs.item(), abs=1e-6)
    gradients = torch.autograd.grad(theirs, list(dpo.policy_model.parameters()))
    torch.testing.assert_close(ours.gradient, gradients, atol=1e-6, rtol=1e-5)
    right = score_rows(*models, text_rows(tokenizer, *TEXTS), BETA)
    assert abs(right.loss - ours.loss) > 0.01


def test_without_masks_of_the_sequences_it_scores_padding_too(dpo, models, tokenizer) -> None:
    made = ["padding_scored", "mask_off_by_one", "mean_for_sum"]
    rows = text_rows(tokenizer, *TEXTS, made)
    given = dict(list(arguments(rows).items())[:3])
    assert score_rows(*models, rows, BETA).loss == pytest.approx(dpo(**given).item(), abs=1e-6)


def test_its_arguments_become_the_same_pairs(dpo, models, tokenizer, monkeypatch) -> None:
    """With the mask in line with the targets its loss is `dpo_norm` on our pairs."""
    given = arguments(text_rows(tokenizer, *TEXTS))
    assert [*given] == [*inspect.signature(dpo.forward).parameters]
    chosen, rejected, prompt_mask, *masks = given.values()
    pairs = pairs_from_prompt_mask(chosen, rejected, prompt_mask, *(m.sum(-1) for m in masks))
    parts = [tokenizer.encode(TEXTS[0]), *map(tokenizer.completion, TEXTS[1:])]
    assert [[*part] for part in (pairs[0].prompt, pairs[0].chosen, pairs[0].rejected)] == parts
    batch = collate(pairs, tokenizer.pad_id)
    logps = PairLogps.from_sequences(batch, *(completion_logps(model, batch) for model in models))
    module = inspect.getmodule(library.DPO)
    mean = module.masked_mean
    monkeypatch.setattr(module, "masked_mean", lambda values, mask: mean(values, mask[:, 1:]))
    torch.testing.assert_close(LOSSES["dpo_norm"](logps, beta=BETA).mean(), dpo(**given))


@torch.no_grad()
def test_its_reference_follows_a_tied_head(tokens) -> None:
    """Seen in 2.31.10: the copied wrapper's head is a function of the original. Ours stays."""
    made = library.DPO(wrapper(tie_embedding=True), beta=BETA).eval()
    ours = XTransformersPolicy(made.ref_model)
    theirs_before, ours_before = made.ref_model(tokens), ours.logits(tokens)
    train_a_little(made)
    assert (made.ref_model(tokens) - theirs_before).abs().max() > 0.1
    assert torch.equal(ours.logits(tokens), ours_before)
