"""The decoder by itself; its equality with other libraries' is tested in tests/models."""

import pytest
import torch

from workbench.core.policy import Policy
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError

CONFIG = TransformerConfig(13, dim=16, layers=2, heads=4, kv_heads=2, hidden_dim=24)
MODEL = Transformer(CONFIG, seed=1)
TOKENS = torch.randint(13, (2, 9), generator=torch.Generator().manual_seed(0))


def test_it_is_a_policy():
    assert isinstance(MODEL, Policy)


def test_later_tokens_do_not_matter():
    changed = TOKENS.clone()
    changed[:, 5:] = 0
    torch.testing.assert_close(MODEL.logits(TOKENS)[:, :5], MODEL.logits(changed)[:, :5])


@pytest.mark.parametrize("first", [1, 4, 8])
def test_cache_equals_no_cache(first):
    cache = MODEL.new_cache(2, 9)
    parts = [MODEL.hidden(TOKENS[:, :first], cache=cache)]
    for place in range(first, 9):
        parts.append(MODEL.hidden(TOKENS[:, place : place + 1], cache=cache))
    torch.testing.assert_close(torch.cat(parts, 1), MODEL.hidden(TOKENS), atol=1e-5, rtol=1e-5)


def test_cache_takes_several_tokens_at_once():
    cache = MODEL.new_cache(2, 9)
    parts = [MODEL.hidden(TOKENS[:, :3], cache=cache), MODEL.hidden(TOKENS[:, 3:], cache=cache)]
    torch.testing.assert_close(torch.cat(parts, 1), MODEL.hidden(TOKENS), atol=1e-5, rtol=1e-5)


def test_only_differences_of_positions_matter():
    # Rotary positions are relative: shifting all of them changes nothing.
    positions = torch.arange(9).expand(2, 9)
    torch.testing.assert_close(
        MODEL.hidden(TOKENS, positions), MODEL.hidden(TOKENS, positions + 17), atol=1e-4, rtol=1e-4
    )


def test_same_seed_same_weights_and_no_global_state():
    before = torch.random.get_rng_state()
    one, two, other = Transformer(CONFIG, 5), Transformer(CONFIG, 5), Transformer(CONFIG, 6)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(one.embed_tokens.weight, two.embed_tokens.weight)
    assert not torch.equal(one.embed_tokens.weight, other.embed_tokens.weight)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"dim": 18}, "dim=18 is not a multiple of heads=4"),
        ({"kv_heads": 3}, "heads=4 is not a multiple of kv_heads=3"),
        ({"dim": 12}, "head_dim=3 is odd"),
    ],
)
def test_bad_sizes_are_refused(sizes, message):
    with pytest.raises(WorkbenchError, match=message):
        TransformerConfig(13, **{"dim": 16, "heads": 4, "kv_heads": 2, **sizes})
