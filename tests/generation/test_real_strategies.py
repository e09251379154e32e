"""The real model: greedy and beam texts are those of `transformers`; cached is uncached."""

import pytest
import torch

from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import drafts, generate
from workbench.generation.stops import cut
from workbench.models.load import load_model
from workbench.models.smollm2 import fetch_smollm2

pytestmark = pytest.mark.full

QUESTIONS = [
    "What is the capital of France?",
    "Write two lines about 12 robots.",
    "Hi",
    "My order of three warehouse robots came late and one of them is broken. What should I do now?",
]


@pytest.fixture(scope="module")
def real(real_cache):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WORKBENCH_CACHE", str(real_cache))
        try:
            folder = fetch_smollm2()
        except WorkbenchError as error:
            pytest.skip(str(error))
    return load_model(str(folder))


@pytest.fixture(scope="module")
def prompts(real) -> list[list[int]]:
    return [real.tokenizer.render_prompt(question) for question in QUESTIONS]


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize("penalty", [1.0, 1.2])
def test_texts_are_those_of_transformers(real, prompts, beams, penalty) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(real.name)
    config = SamplingConfig(
        temperature=0, beams=beams, repetition_penalty=penalty, max_new_tokens=20
    )
    ours = generate(real.policy, prompts, config, real.tokenizer.stop_ids, pad_id=2)
    for prompt, text in zip(prompts, ours, strict=True):
        tokens = torch.tensor([prompt])
        found = model.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=20, do_sample=False,
            num_beams=beams, repetition_penalty=penalty,
        )  # fmt: skip
        assert text == [token for token in found[0, len(prompt) :].tolist() if token != 2]


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.9, "top_k": 50, "top_p": 0.95, "min_p": 0.02, "top_a": 0.1},
        {"temperature": 0.9, "repetition_penalty": 1.3},
        {"temperature": 0, "beams": 3},
        {"temperature": 0.7, "stop": (" is", "\n")},
    ],
)
def test_cached_equals_uncached(real, prompts, settings) -> None:
    tokenizer = real.tokenizer
    config = SamplingConfig(**settings, max_new_tokens=12, seed=3)
    rest = (config, tokenizer.stop_ids, tokenizer.pad_id)
    cached = generate(real.policy, prompts, *rest, decode=tokenizer.decode)
    assert cached == generate(real.policy, prompts, *rest, False, decode=tokenizer.decode)
    *_, last = drafts(real.policy, prompts, *rest, decode=tokenizer.decode)
    assert last == cached


def test_a_stop_string_over_several_tokens(real, prompts) -> None:
    tokenizer = real.tokenizer
    config = SamplingConfig(temperature=0, stop=("of Fran",))
    (ids,) = generate(real.policy, prompts[:1], config, {2}, 2, decode=tokenizer.decode)
    assert tokenizer.decode(ids) == "The capital of France"
    assert cut(tokenizer.decode(ids), config.stop) == "The capital "
