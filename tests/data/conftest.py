"""A small byte-level BPE tokenizer of the kind real models bring; tests without a stopwatch."""

import pytest
import tokenizers
from hypothesis import settings
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from workbench.data.tokenizer import Tokenizer

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TEXTS = [
    "the robot stops and the robot waits",
    "a robot in the aisle waits for the other robot",
] * 4


@pytest.fixture(scope="session")
def byte_backend() -> tokenizers.Tokenizer:
    """Puts `<s>` in front of a text, knows every byte and a few English merges."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    return backend


@pytest.fixture(scope="session")
def byte_tokenizer(byte_backend: tokenizers.Tokenizer) -> Tokenizer:
    """The same behind the workbench's interface, without a chat template and padded by its eos."""
    return Tokenizer(byte_backend, eos_id=1)
