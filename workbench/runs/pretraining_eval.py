"""How the base model learns to write: pretraining with an evaluation every now and then.

What it writes and how well it predicts is measured on the same prompts and the same fresh texts
each time, with the same seed, so two snapshots differ by the weights alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import fmean

import torch

from workbench.core.collation import collate_sequences
from workbench.core.logps import completion_logps
from workbench.data.pairs import TextPair
from workbench.data.reviews.likelihood import fitting_words, next_words, review_logp
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.models.load import Model
from workbench.runs.run_data import write_answers
from workbench.train.base_model import BaseConfig, pretrain
from workbench.train.events import ChangeEvent, StepEvent

MAX_NEW_TOKENS = 40


@dataclass(frozen=True)
class Written:
    """A text of the model: does it parse, and how many of its words some review begins with."""

    prompt: str
    text: str
    parses: bool
    fitting: int


@dataclass(frozen=True)
class Snapshot:
    """What a model does after `step` of `total` steps.

    Attributes:
        loss: mean negative log-likelihood of fresh texts, nats per token.
        texts: sampled at temperature 1, one per prompt; the first ones are those that are shown.
        sharpened: whether the logits were multiplied, as they are after the last step.
    """

    step: int
    total: int
    loss: float
    texts: tuple[Written, ...]
    sharpened: bool = False

    @property
    def grammatical(self) -> float:
        """The share of the sampled texts that parse."""
        return sum(text.parses for text in self.texts) / len(self.texts)


class PretrainingEval:
    """The same questions for every model of a world.

    Args:
        world: the reviews that are learnt.
        shown: prompts whose texts come first.
        samples: how many texts are sampled, those for `shown` included.
        fresh: how many texts of the grammar are predicted; none was drawn for pretraining.
        seed: of the sampled texts.

    Attributes:
        prompts: answered by one sampled text each.
        fresh: the grammar's texts that are predicted.
        floor: the loss of the grammar itself on the fresh texts, nats per token. On average over
            all texts no model has less; on these few it may, by chance.
    """

    def __init__(
        self,
        world: Reviews,
        shown: Sequence[str] = (),
        samples: int = 128,
        fresh: int = 512,
        seed: int = 0,
    ) -> None:
        if min(samples, fresh) < 1:
            raise WorkbenchError(f"samples={samples}, fresh={fresh}: accepted are 1 and more")
        self.world, self._seed = world, seed
        more = islice(cycle(world.prompts), max(0, samples - len(shown)))
        self.prompts = [*shown, *more]
        self.fresh = world.corpus(fresh, seed=-1)
        encode = world.tokenizer.completion
        self._tokens = sum(len(encode(example.completion)) for example in self.fresh)
        known = (review_logp(world.topic_of(e.prompt), e.completion) for e in self.fresh)
        self.floor = -sum(known) / self._tokens

    def loss(self, model: Model) -> float:
        """Nats per token on the fresh texts."""
        tokenizer = model.tokenizer
        batch = collate_sequences(
            [
                (tokenizer.render_prompt(example.prompt), tokenizer.completion(example.completion))
                for example in self.fresh
            ],
            tokenizer.pad_id,
        ).to(next(model.policy.parameters()).device)
        with torch.no_grad():
            return -float(completion_logps(model.policy, batch).sum()) / self._tokens

    def misfit(self, model: Model, count: int = 64) -> float:
        """Mean probability, 0 to 1, of words with which no review could go on.

        Taken at every position of the first `count` fresh texts. The end of the text is one of the
        words that fit where the text so far parses.
        """
        encode, found = model.tokenizer.encode, []
        device = next(model.policy.parameters()).device
        for prompt, review in self.fresh[:count]:
            topic, start = self.world.topic_of(prompt), model.tokenizer.render_prompt(prompt)
            completion = model.tokenizer.completion(review)
            with torch.no_grad():
                logits = model.policy.logits(torch.tensor([start + completion], device=device))[0]
            chances = logits[len(start) - 1 : -1].softmax(-1)  # (word, vocab)
            for position, chance in enumerate(chances):
                so_far = model.tokenizer.decode(completion[:position])
                fits = [encode(word)[0] for word in next_words(topic, so_far)]
                if self.world.is_grammatical(prompt, so_far):
                    fits.append(model.tokenizer.eos_id)
                found.append(1 - float(chance[fits].sum()))
        return fmean(found)

    def texts(self, model: Model) -> tuple[Written, ...]:
        """One text per prompt."""
        asked = [TextPair(prompt, "", "") for prompt in self.prompts]
        sampling = SamplingConfig(max_new_tokens=MAX_NEW_TOKENS, seed=self._seed)
        device = str(next(model.policy.parameters()).device)
        answers = write_answers(model, asked, sampling, device, "float32")
        return tuple(map(self._judge, self.prompts, answers))

    def _judge(self, prompt: str, text: str) -> Written:
        fitting = fitting_words(self.world.topic_of(prompt), text)
        return Written(prompt, text, self.world.is_grammatical(prompt, text), fitting)

    def __call__(self, model: Model, step: int, total: int, sharpened: bool = False) -> Snapshot:
        """The model as it is now."""
        return Snapshot(step, total, self.loss(model), self.texts(model), sharpened)


def ladder(total: int, leading: Sequence[float] = (1, 1.5, 2, 3, 5, 7)) -> list[int]:
    """Round steps from about a hundredth of `total` on, and `total` itself.

    >>> ladder(1000, (1, 3))
    [10, 30, 100, 300, 1000]
    """
    powers = range(len(str(total)))
    steps = {round(digit * 10**power) for digit in leading for power in powers}
    return sorted({step for step in steps if total / 100 <= step < total} | {total})


def pretrain_with_snapshots(
    model: Model,
    world: Reviews,
    base: BaseConfig | None = None,
    examination: PretrainingEval | None = None,
    at: Collection[int] | None = None,
) -> Iterator[StepEvent | ChangeEvent | Snapshot]:
    """`pretrain`, with a snapshot before the first step, after those in `at`, and at the end.

    The last snapshot is that of the sharpened model. The weights that come out are those of
    `pretrain` alone, bit for bit.
    """
    base = base or BaseConfig()
    examine = examination or PretrainingEval(world)
    wanted = {base.steps, *(ladder(base.steps) if at is None else at)}
    yield examine(model, 0, base.steps)
    for event in pretrain(model, world, base):
        yield event
        if isinstance(event, StepEvent) and event.step in wanted:
            yield examine(model, event.step, base.steps)
    if base.sharpen != 1:
        yield examine(model, base.steps, base.steps, sharpened=True)
