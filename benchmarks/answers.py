"""How long policy and reference take to answer a hundred prompts: figures, no judgement.

    python benchmarks/answers.py

Two decoders of the tiny model's size, 100 prompts of the reviews world, 64 new tokens each, drawn
at temperature 1; nothing ends early, so every token is counted.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from workbench.core.fast.fast_kernels import FAST
from workbench.core.transformer import Transformer
from workbench.data.reviews.world import Reviews
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.train.base_model import new_model
from workbench.train.precision import set_threads

PROMPTS, NEW_TOKENS, ROUNDS = 100, 64, 7


def main() -> None:
    """Print the median of some rounds."""
    world = Reviews()
    base = new_model(world)
    shape = replace(base.policy.config, max_length=2 * NEW_TOKENS)
    models = [Transformer(shape, seed, FAST) for seed in (0, 1)]
    set_threads(models[0])
    texts = [example.prompt for example in world.corpus(PROMPTS, seed=0)]
    prompts = [base.tokenizer.render_prompt(text) for text in texts]
    sampling = SamplingConfig(max_new_tokens=NEW_TOKENS)
    took = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for model in models:
            answers = generate(model, prompts, sampling, (), base.tokenizer.pad_id)
            assert sum(map(len, answers)) == PROMPTS * NEW_TOKENS
        took.append(time.perf_counter() - begin)
    print(
        f"{PROMPTS} prompts x {len(models)} models x {NEW_TOKENS} tokens: "
        f"{statistics.median(took):.2f} s, {min(took):.2f} to {max(took):.2f}"
    )


if __name__ == "__main__":
    main()
