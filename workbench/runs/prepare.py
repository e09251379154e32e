"""The parts of a run, made from its settings: model, pairs, reference, batches, evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version

import torch
from torch import nn

from workbench.core.batch import Pair
from workbench.core.transformer import Transformer
from workbench.data.cache import cache_folder
from workbench.data.pairs import TextPair
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.models.load import Model, load_model, model_hash
from workbench.models.lora import adapters_off, add_lora
from workbench.runs.evaluate import Evaluator
from workbench.runs.run_data import RunData, load_data, write_answers
from workbench.train.base_model import Progress, tiny_base
from workbench.train.batches import ShuffledBatches, in_order, pair_batches
from workbench.train.config import MAX_TOKENS, TrainConfig
from workbench.train.precision import (
    is_large,
    keep_freed_memory,
    pick_device,
    pick_precision,
    set_threads,
)
from workbench.train.reference import (
    CachedReference,
    LiveReference,
    cache_key,
    cache_reference,
    freeze,
)


@dataclass
class Parts:
    """What a run is made of; `config` has every field filled in."""

    config: TrainConfig
    model: Model
    data: RunData
    evaluator: Evaluator
    batches: ShuffledBatches[Pair]
    reference: CachedReference | LiveReference
    reference_hash: str


def prepare(
    config: TrainConfig, progress: Progress | None = None, base: Model | None = None
) -> Parts:
    """Load or take the model, read the pairs, freeze the reference and score the pairs with it."""
    tell = progress or (lambda text, share: None)
    model = base or open_model(config, tell)
    config = _fill_in(config, model)
    device, precision, layout = config.device, config.precision, config.layout or "stacked"
    model.policy.to(device)
    model.policy.plain = config.kernels == "plain"  # type: ignore[assignment]
    model.policy.recompute = config.recompute  # type: ignore[assignment]
    set_threads(model.policy)
    keep_freed_memory()
    tell("reading the pairs", 0.0)
    data = load_data(config, model, device, precision)
    reference_hash = model_hash(model.policy)
    live = _freeze(model.policy, config)
    pad_id, size = model.tokenizer.pad_id, config.batch_size or 1

    def reference_for(pairs: list[Pair]) -> CachedReference | LiveReference:
        if config.reference == "live" or not pairs:
            return live
        # The batch size counts: the last digits of a sum depend on the shape of its batch.
        made_by = f"{version('dpo-workbench')} {torch.__version__}"
        how = (precision, layout, config.kernels, device, str(size), made_by)
        key = cache_key(reference_hash, pairs, *how)
        path = None if config.model == "tiny" else cache_folder() / "reference" / key
        ordered = in_order(pairs, pad_id, size, layout)
        return cache_reference(live, ordered, len(pairs), path, device, tell)

    evaluator = Evaluator(
        in_order(data.held_out, pad_id, size, layout) if data.held_out else None,
        reference_for(data.held_out),
        live,
        model.tokenizer,
        model.max_length,
        data.prompts(config.samples or 0),
        SamplingConfig(max_new_tokens=config.max_new_tokens or 40, seed=config.seed),
        device,
        precision,
        data.scores,
        1.0 if config.shown_temperature is None else config.shown_temperature,
    )
    batches = pair_batches(
        data.train, pad_id, size, config.accumulate, layout, config.seed, config.max_tokens or 0,
        config.bucket,
    )  # fmt: skip
    reference = reference_for(data.train)
    rarely_asked = config.reference == "cached" and not config.lora and device == "cpu"
    if rarely_asked and isinstance(model.policy, Transformer) and is_large(model.policy):
        live.park()
    return Parts(config, model, data, evaluator, batches, reference, reference_hash)


def open_model(config: TrainConfig, progress: Progress | None = None) -> Model:
    """The base model that `config.model` names."""
    if config.model == "tiny":
        return tiny_base(config.world, progress=progress)
    return load_model(config.model, progress)


def answer(name: str, prompts: list[TextPair], sampling: SamplingConfig) -> list[str]:
    """A model's own answers, without any run: "tiny", "smollm2", a folder or an id."""
    model = open_model(TrainConfig(model=name).resolved())
    config = _fill_in(TrainConfig(model=name), model)
    return write_answers(model, prompts, sampling, config.device, config.precision)


def _fill_in(config: TrainConfig, model: Model) -> TrainConfig:
    """Every field that depends on the model in hand and on the machine filled in."""
    asked, config = config.max_length or 0, config.resolved()
    if asked > model.max_length:
        raise WorkbenchError(
            f"max_length={asked} is not accepted: {model.name} takes up to {model.max_length}"
        )
    can_share = getattr(model.policy, "supports_branches", True)
    if config.layout not in (None, "stacked") and not can_share:
        raise WorkbenchError(
            f"layout={config.layout!r} does not work with {model.name}; accepted: stacked"
        )
    # Other people's models compute attention between all tokens of a row, seen or not.
    best = "packed" if isinstance(model.policy, Transformer) else "shared_prefix"
    device = pick_device(config.device)
    tokens = 0 if config.model == "tiny" else MAX_TOKENS[device]
    return replace(
        config,
        device=device,
        precision=pick_precision(config.precision, device, model.policy),
        layout=config.layout or (best if can_share else "stacked"),
        max_length=min(config.max_length or model.max_length, model.max_length),
        max_tokens=tokens if config.max_tokens is None else config.max_tokens,
    )


def _freeze(policy: nn.Module, config: TrainConfig) -> LiveReference:
    """The reference: the policy with adapters switched off, or a frozen copy."""
    if config.lora:
        add_lora(policy, config.lora, seed=config.seed)
        off = partial(adapters_off, policy)
        return LiveReference(policy, config.device, config.precision, off)
    return LiveReference(freeze(policy, config.precision), config.device, config.precision)
