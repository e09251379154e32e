"""The pairs of a run: read or written, tokenised, split into training and held-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from workbench.core.batch import Pair
from workbench.data.pairs import SkippedRow, TextPair, encode_pairs, read_pairs
from workbench.data.reviews.world import Reviews
from workbench.data.split import split_by_group
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.generation.stops import cut
from workbench.models.load import Model
from workbench.runs.evaluate import TextScores
from workbench.train.config import TrainConfig
from workbench.train.precision import computing


@dataclass(frozen=True)
class RunData:
    """Pairs of one run and what is known of them.

    `train` and `held_out` are token ids, the `*_texts` the same pairs as text in the same order;
    `skipped` holds the rows that can't be used, `truncated` the rows whose completion was cut;
    `scores` rates a sampled text where the truth is known.
    """

    train: list[Pair]
    held_out: list[Pair]
    train_texts: list[TextPair]
    held_out_texts: list[TextPair]
    skipped: list[SkippedRow]
    truncated: list[int]
    scores: TextScores | None = None

    def prompts(self, count: int) -> list[TextPair]:
        """`count` prompts to sample, held-out ones where there are any, each as often as needed."""
        texts = self.held_out_texts or self.train_texts
        distinct = list({text.prompt: text for text in texts}.values())
        return list(islice(cycle(distinct), count))


def load_data(config: TrainConfig, model: Model, device: str, precision: str) -> RunData:
    """Read or write the pairs that `config.data` names, for this model.

    Raises:
        WorkbenchError: no usable pair, or fewer than `held_out` leaves to train on.
    """
    scores, skipped = None, []
    if config.data == "reviews":
        world = Reviews(config.world)

        def write(prompts: list[str], seed: int) -> list[str]:
            sampling = SamplingConfig(max_new_tokens=config.max_new_tokens or 40, seed=seed)
            asked = [TextPair(prompt, "", "") for prompt in prompts]
            return write_answers(model, asked, sampling, device, precision)

        texts = world.preferences(write if config.pairs_from == "reference" else None)
        scores = review_scores(world)
    else:
        file = read_pairs(config.data)
        texts, skipped = file.pairs, file.skipped
    encoded = encode_pairs(texts, model.tokenizer, config.max_length or model.max_length)
    train, held_out = split_by_group(
        encoded.texts, lambda text: text.group or text.prompt, config.held_out or 0, config.seed
    )
    return RunData(
        [encoded.pairs[i] for i in train],
        [encoded.pairs[i] for i in held_out],
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


def review_scores(world: Reviews) -> TextScores:
    """True reward in [-1, 1] and whether the grammar could have written the text."""

    def score(prompt: str, text: str) -> dict[str, float]:
        return {
            "reward": world.reward(text),
            "grammatical": float(world.is_grammatical(prompt, text)),
        }

    return score
