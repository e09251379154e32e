"""The data of a run: read or written, tokenised, split into training and held-out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

import torch

from workbench.data.cache import atomic_write, cache_folder
from workbench.data.pairs import SkippedRow, TextPair
from workbench.data.reviews.world import Reviews
from workbench.data.split import split_by_group
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.generation.stops import cut
from workbench.models.load import Model, model_hash
from workbench.runs.evaluate import TextScores
from workbench.train.config import TrainConfig
from workbench.train.method import Method
from workbench.train.precision import computing


@dataclass(frozen=True)
class RunData:
    """The rows of one run and what is known of them.

    `train` and `held_out` are token ids, the `*_texts` the same rows as text in the same order;
    `skipped` holds the rows that can't be used, `truncated` the rows of which a completion was cut;
    `scores` rates a sampled text where the truth is known.
    """

    train: list[Any]
    held_out: list[Any]
    train_texts: list[Any]
    held_out_texts: list[Any]
    skipped: list[SkippedRow]
    truncated: list[int]
    scores: TextScores | None = None

    def prompts(self, count: int) -> list[Any]:
        """Texts of `count` prompts to sample, held-out ones where there are any, repeated if need
        be."""
        texts = self.held_out_texts or self.train_texts
        distinct = list({text.prompt: text for text in texts}.values())
        return list(islice(cycle(distinct), count))


def load_data(
    config: TrainConfig, method: Method[Any], model: Model, device: str, precision: str
) -> RunData:
    """Read or write the rows that `config.data` names, for this method and model.

    Raises:
        WorkbenchError: no usable row, or fewer than `held_out` leaves to train on.
    """
    scores, skipped = None, list[SkippedRow]()
    if config.data == "reviews":
        world = Reviews(config.world)

        def write(prompts: list[str], seed: int) -> list[str]:
            sampling = SamplingConfig(max_new_tokens=config.max_new_tokens or 40, seed=seed)
            asked = [TextPair(prompt, "", "") for prompt in prompts]
            how = (prompts, asdict(sampling), device, precision, torch.__version__)
            key = json.dumps([model_hash(model.policy), *how])
            return remembered(key, lambda: write_answers(model, asked, sampling, device, precision))

        pairs = world.preferences(write if config.pairs_from == "reference" else None)
        texts, scores = method.from_pairs(pairs), review_scores(world)
    else:
        texts, skipped = method.read(config.data)
    longest = config.max_length or model.max_length
    encoded = method.encode(texts, model.tokenizer, longest)
    train, held_out = split_by_group(
        encoded.texts, lambda text: text.group or text.prompt, config.held_out or 0, config.seed
    )
    trained = [encoded.items[i] for i in train]
    kept = [encoded.items[i] for i in held_out]
    return RunData(
        method.complete(trained, [], longest),
        method.complete(kept, trained, longest),
        [encoded.texts[i] for i in train],
        [encoded.texts[i] for i in held_out],
        sorted([*skipped, *encoded.skipped], key=lambda row: row.row),
        encoded.truncated,
        scores,
    )


def write_answers(
    model: Model, prompts: Sequence[TextPair], sampling: SamplingConfig, device: str, precision: str
) -> list[str]:
    """The model's own completions of `prompts`."""
    ids = [model.tokenizer.render_prompt(pair.prompt, pair.system) for pair in prompts]
    tokenizer = model.tokenizer
    with computing(model.policy, device, precision):
        drawn = generate(
            model.policy,
            ids,
            sampling,
            tokenizer.stop_ids,
            tokenizer.pad_id,
            decode=tokenizer.decode,
        )
    return [cut(tokenizer.decode(one), sampling.stop) for one in drawn]


def remembered(key: str, write: Callable[[], list[str]]) -> list[str]:
    """The texts that `write` gave when it was last called for this key; kept in the cache folder.

    What is not a list of texts there is written anew.
    """
    name = hashlib.sha256(key.encode()).hexdigest()
    path = cache_folder() / "drawn" / f"{name}.json"
    with suppress(OSError, ValueError):
        texts = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            return texts
    texts = write()
    atomic_write(path, lambda file: file.write_text(json.dumps(texts), encoding="utf-8"))
    return texts


def review_scores(world: Reviews) -> TextScores:
    """True reward in [-1, 1] and whether the grammar could have written the text."""

    def score(prompt: str, text: str) -> dict[str, float]:
        return {
            "reward": world.reward(text),
            "grammatical": float(world.is_grammatical(prompt, text)),
        }

    return score
