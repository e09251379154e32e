"""The parts of a run, made from its settings: model, data, reference, batches, evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import chain
from typing import Any

import torch

from workbench.core.fast.gpu.gpu_kernels import kernels_for
from workbench.core.policy import Policy
from workbench.data.pairs import TextPair
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.shown import LENGTH, shown_sampling
from workbench.models.load import Model, load_model
from workbench.runs.evaluate import Evaluator, TextScores
from workbench.runs.folder.known_rows import KnownData
from workbench.runs.large_data import load_data, with_live_reference
from workbench.runs.reward.named_rewards import GIVEN, check_prompts_of, find_reward
from workbench.runs.run_data import RunData, refuse_truncated, write_answers
from workbench.train import distributed
from workbench.train.base_model import Progress, tiny_base
from workbench.train.batches import BatchSource, batches_for, in_order
from workbench.train.config import MAX_TOKENS, TrainConfig
from workbench.train.method import Method, Reference, find_method
from workbench.train.precision import (
    keep_freed_memory,
    pick_device,
    pick_precision,
    set_threads,
)
from workbench.train.reference.start_model import (
    Shared,
    hash_of,
    refuse_processes,
    start_model,
    take_layouts_of_main,
    weights_from_main,
)
from workbench.train.reference.values import cache_key, cache_reference, values_path
from workbench.train.rollouts.reward_function import Reward, scored
from workbench.train.rollouts.rollout_batches import RolloutBatches
from workbench.train.rollouts.rollout_method import RolloutMethod
from workbench.train.settings import LiveSettings


@dataclass
class Parts:
    """What a run is made of; `config` has every field filled in.

    `reference` is None where the method's loss compares with none; `shared` is what this process
    holds of the policy and of the model before the run.
    """

    config: TrainConfig
    method: Method[Any]
    model: Model
    data: RunData
    evaluator: Evaluator
    batches: BatchSource
    reference: Reference | None
    reference_hash: str
    shared: Shared


def prepare(
    config: TrainConfig,
    progress: Progress | None = None,
    base: Model | None = None,
    reward: Reward | None = None,
    known: KnownData | None = None,
) -> Parts:
    """Load or take the model, read the data, freeze the reference and score the data with it.

    `reward` is a Python function, for methods whose completions the policy writes; left out: that
    of `config.reward`. `known` is what a recorded run knows of its data.
    """
    tell = progress or (lambda text, share: None)
    from_main = weights_from_main(config, base is not None)
    empty = from_main and not distributed.is_main()
    with distributed.main_first():
        model = base or open_model(config, tell, empty=empty)
    take_layouts_of_main(model.policy, from_main)
    if reward is not None:
        config = replace(config, reward=GIVEN + getattr(reward, "__name__", type(reward).__name__))
    if config.allow_special:
        model = replace(model, tokenizer=model.tokenizer.allowing_special())
    asked, config = config, _fill_in(config, model)
    method = find_method(str(config.method))
    if isinstance(method, RolloutMethod) and reward is None:
        with distributed.main_first():
            reward = find_reward(config, open_model)
    method.check_batch_size(config.batch_size or 1)
    if not model.policy.generates:
        raise WorkbenchError(f"{model.name} is a reward model; a run starts from a language model")
    _set_up(model.policy, config, move=not from_main)
    tell("reading the data", 0.0)
    with distributed.main_first():
        data = load_data(config, method, model, config.device, config.precision, known, tell)
    refuse_processes(config, method.noun, len(data.train))
    config = with_live_reference(config, asked, data)
    if talks := data.conversations:
        model = replace(model, tokenizer=model.tokenizer.knowing(talks))
    refuse_truncated(data, asked.max_length, config.max_length or model.max_length)
    if method.rollouts:
        check_prompts_of(reward, chain(data.train_texts, data.held_out_texts))
    config = replace(config, **method.open_settings(data.train, asked))
    reference_hash = hash_of(model.policy, from_main)
    if distributed.world_size() > 1:  # as a hash of the data takes a while
        hashes = {"data_hash": data.hash[:12], "reference_hash": reference_hash[:12]}
        distributed.require_alike(hashes)
    compares = method.needs_reference(LiveSettings.start(config))
    start = start_model(
        model.policy, config, compares, base is not None, partial(_read_again, config)
    )
    model = replace(model, policy=method.trained(model.policy))
    if not from_main:
        model.policy.to(config.device)
    shared = Shared.of(model.policy, start, config)
    size, layout = config.batch_size or 1, config.layout or "stacked"
    pad_id = model.tokenizer.pad_id
    batches: BatchSource
    if isinstance(method, RolloutMethod):
        batches = RolloutBatches(
            data.train, data.train_texts, method, config, model.tokenizer, shared.texts, reward,
            config.max_length or model.max_length, shared.whole,
        )  # fmt: skip
    else:
        batches = batches_for(
            method, data.train, pad_id, size, config.accumulate, layout, config.seed,
            config.max_tokens or 0, config.bucket,
        )  # fmt: skip
    score = partial(_scored, shared, config, method, reference_hash, pad_id, tell)
    evaluator = Evaluator(
        method,
        [] if method.rollouts else in_order(method, data.held_out, pad_id, size, layout),
        score(data.held_out) if compares else None,
        shared.texts,
        compares,
        model.tokenizer,
        data.prompts(config.samples or 0) if model.policy.generates else [],
        SamplingConfig(max_new_tokens=config.max_new_tokens or 40, seed=config.seed),
        config.device,
        config.precision,
        with_score(data.scores, reward if config.reward != "world" else None),
        shown_sampling(
            model.policy, config.shown_temperature, config.shown_length or LENGTH, config.seed
        ),
    )
    reference = score(data.train) if compares else None
    if compares:
        shared.park_if_rarely_asked(config, model.policy)
    return Parts(config, method, model, data, evaluator, batches, reference, reference_hash, shared)


def with_score(scores: TextScores | None, reward: Reward | None) -> TextScores | None:
    """What is known of a text, and the `score` of the reward that is trained on."""
    if reward is None:
        return scores

    def score(prompt: str, text: str) -> dict[str, float]:
        known = scores(prompt, text) if scores else {}
        return known | {"score": scored(reward, [prompt], [text])[0]}

    return score


def open_model(config: TrainConfig, progress: Progress | None = None, empty: bool = False) -> Model:
    """The base model that `config.model` names; see `load_model`."""
    if config.model == "tiny":
        return tiny_base(config.world, progress=progress)
    return load_model(config.model, progress, empty)


def answer(name: str, prompts: list[TextPair], sampling: SamplingConfig) -> list[str]:
    """A model's own answers, without any run: "tiny", "smollm2", a folder or an id."""
    model = open_model(TrainConfig(model=name).resolved())
    config = _fill_in(TrainConfig(model=name), model)
    return write_answers(model, prompts, sampling, config.device, config.precision)


def _fill_in(config: TrainConfig, model: Model) -> TrainConfig:
    """Every field that depends on the model and on the machine filled in."""
    wanted, config = config.max_length or 0, config.resolved()
    if wanted > model.max_length:
        raise WorkbenchError(
            f"max_length={wanted} is not accepted: {model.name} takes up to {model.max_length}"
        )
    layouts = model.policy.layouts
    if config.layout is not None and config.layout not in layouts:
        raise WorkbenchError(
            f"layout={config.layout!r} does not work with {model.name}; accepted: "
            + ", ".join(layouts)
        )
    device = pick_device(config.device)
    tokens = 0 if config.model == "tiny" else MAX_TOKENS[device]
    return replace(
        config,
        device=device,
        precision=pick_precision(config.precision, device, model.policy),
        layout=config.layout or layouts[-1],
        max_length=min(config.max_length or model.max_length, model.max_length),
        max_tokens=tokens if config.max_tokens is None else config.max_tokens,
    )


def _set_up(policy: Policy, config: TrainConfig, move: bool = True) -> None:
    """Set what the policy computes by, and `move` it to its device."""
    if move:
        policy.to(config.device)
    # Wrappers of several processes set hooks into blocks.
    without = ("blocks",) if distributed.world_size() > 1 else ()
    policy.kernels = kernels_for(config.kernels, policy, config.device, without)
    policy.recompute = config.recompute
    set_threads(policy)
    keep_freed_memory()


def _read_again(config: TrainConfig) -> Policy:
    again = open_model(config).policy
    _set_up(again, config)
    return again


def _scored(
    shared: Shared,
    config: TrainConfig,
    method: Method[Any],
    reference_hash: str,
    pad_id: int,
    tell: Progress,
    items: Sequence[Any],
) -> Reference:
    """The reference for these items: its values computed once, or the model itself."""
    if config.reference == "live" or not items:
        return shared.live
    size, layout = config.batch_size or 1, config.layout or "stacked"
    # The batch size counts: the last digits of a sum depend on the shape of its batch.
    made_by = f"{version('dpo-workbench')} {torch.__version__}"
    how = (config.precision, layout, config.kernels, config.device, str(size), made_by)
    key = cache_key(reference_hash, items, *how, "sums of pairs" if method.paired else "sums")
    path = None if config.model == "tiny" else values_path(key)
    ordered = in_order(method, items, pad_id, size, layout)
    shape = (len(items), method.completions)
    return cache_reference(shared.scores, ordered, shape, path, config.device, tell, method.paired)
