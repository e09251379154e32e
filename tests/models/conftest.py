"""Tiny models of other people's kinds, made on the spot."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from workbench.data.tokenizer import Tokenizer

VOCAB = 61
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """Makes the causal LM of a configuration's class, with weights far from uniform."""

    def make(kind: str, **changes: Any) -> Any:
        transformers = pytest.importorskip("transformers")
        config = getattr(transformers, kind)(**{**SHAPE, **changes})
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            model = transformers.AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(6)  # so that a wrong mask or position shows
        return model

    return make


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """58 words: with <pad>, <eos> and <unk> the 61 tokens of the tiny models."""
    return Tokenizer.from_words([f"word{number}" for number in range(VOCAB - 3)])


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(3, VOCAB, (3, 11), generator=torch.Generator().manual_seed(0))
