"""The embedded base model: the small decoder, pretrained on the reviews world in some seconds.

A reference must be good before preferences mean anything, so the world's texts come first: plain
next-token training on what its grammar writes, by the same loop as everything else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from workbench.core.batch import Completion
from workbench.core.fast.fast_kernels import FAST
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.cache import atomic_folder, cache_folder
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.data.seals import is_whole, write_digests
from workbench.errors import WorkbenchError
from workbench.models.load import TINY, Model, load_model, save_model
from workbench.train.batches import batches_for
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.events import ChangeEvent, StepEvent
from workbench.train.loop import fit
from workbench.train.method import find_method
from workbench.train.precision import set_threads

Progress = Callable[[str, float], None]
MAX_LENGTH = 64
RECIPE = 2  # to be raised with every change of the training that changes a digit of the weights


@dataclass(frozen=True)
class BaseConfig:
    """How the embedded base model is made; sizes are counts.

    `sharpen` multiplies the logits of the trained model, as sampling at temperature 1 / `sharpen`
    would. A second of training less leaves a rest of probability on every wrong word, and over a
    whole review those add up.
    """

    dim: int = 64
    layers: int = 2
    heads: int = 2
    kv_heads: int = 2
    hidden_dim: int = 176
    texts: int = 32_000
    batch_size: int = 32
    steps: int = 1000
    lr: float = 1e-2
    sharpen: float = 1.5
    seed: int = 0


def new_model(world: Reviews, base: BaseConfig | None = None) -> Model:
    """The decoder with random weights and the world's tokenizer."""
    base = base or BaseConfig()
    shape = TransformerConfig(
        vocab_size=world.tokenizer.vocab_size,
        dim=base.dim,
        layers=base.layers,
        heads=base.heads,
        kv_heads=base.kv_heads,
        hidden_dim=base.hidden_dim,
        max_length=MAX_LENGTH,
    )
    policy = Transformer(shape, seed=base.seed, kernels=FAST)
    policy.recommended_sampling = TINY
    return Model(name="tiny", policy=policy, tokenizer=world.tokenizer, max_length=MAX_LENGTH)


def pretrain(
    model: Model, world: Reviews, base: BaseConfig | None = None, control: Control | None = None
) -> Iterator[StepEvent | ChangeEvent]:
    """Train `model` in place on the world's texts, then sharpen it.

    `metrics["loss"]` is in nats per token.
    """
    base = base or BaseConfig()
    tokenizer = model.tokenizer
    method = find_method("sft")
    texts = [
        Completion(
            tuple(tokenizer.render_prompt(example.prompt)),
            tuple(tokenizer.completion(example.completion)),
        )
        for example in world.corpus(base.texts, base.seed)
    ]

    batches = batches_for(
        method, texts, tokenizer.pad_id, base.batch_size, layout="stacked", seed=base.seed
    )
    set_threads(model.policy)
    config = TrainConfig(
        method="sft",
        lr=base.lr,
        max_steps=base.steps,
        warmup=60,
        schedule="linear",
        precision="float32",
    )
    yield from fit(model.policy, batches, config, control)
    with torch.no_grad():
        model.policy.norm.weight *= base.sharpen  # type: ignore[union-attr,operator]


def tiny_base(
    world: ReviewsConfig | None = None,
    base: BaseConfig | None = None,
    progress: Progress | None = None,
) -> Model:
    """The pretrained base model of a reviews world, made once, then read from the cache."""
    world, base = world or ReviewsConfig(), base or BaseConfig()
    reviews = Reviews(world)
    folder = cached_base(world, base)
    if is_whole(folder):
        model = load_model(str(folder))
        model.name, model.policy.recommended_sampling = "tiny", TINY
        return model
    model = new_model(reviews, base)
    for event in pretrain(model, reviews, base):
        if progress and isinstance(event, StepEvent):
            progress("pretraining the tiny base model", event.step / event.total)

    def write(part: Path) -> None:
        save_model(model, part)
        write_digests(part)

    try:
        atomic_folder(folder, write)
    except OSError as error:
        if not folder.exists():  # else another process was first, with the same weights
            where = f"the tiny base model can't be kept in {folder.parent}"
            raise WorkbenchError(f"{where}: {error.strerror}") from error
    return model


def cached_base(world: ReviewsConfig, base: BaseConfig | None = None) -> Path:
    """Where this base model is kept: the name holds a hash of all that it depends on."""
    corpus = Reviews(world).corpus(64, 0)
    settings = [asdict(base or BaseConfig()), corpus, world.topics, world.world_seed]
    content = json.dumps([*settings, RECIPE, torch.__version__])
    return cache_folder() / f"tiny-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
