"""The workbench as a contender: the run that a user gets, one step at a time."""

from __future__ import annotations

import sys
import time
from typing import Any
from unittest.mock import patch

import workbench.__main__  # noqa: F401  sets what it wants of the environment; before torch
from benchmarks.contender import Turns, serve
from benchmarks.workloads import labelled, read_token_pairs, tiny_model
from workbench.core.batch import SequenceBatch
from workbench.core.fast.gpu.gpu_kernels import kernels_for
from workbench.data.pairs import TextPair
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.models.load import Model, load_model
from workbench.runs.prepare import Parts, prepare
from workbench.runs.run import Run
from workbench.runs.run_data import RunData
from workbench.train.batches import BatchSource
from workbench.train.config import TrainConfig
from workbench.train.events import StepEvent
from workbench.train.loop import fit
from workbench.train.precision import computing, pick_device, set_threads
from workbench.train.rollouts.rollout_batches import RolloutBatches


def prepared(items: list[Any], base: Model | None = None, **settings: Any) -> Parts:
    """The parts of a run on these token ids: all as `prepare` makes it, but the reading of a file.

    Nothing is held out and nothing sampled, so that a run consists of its steps.
    """
    data = RunData(items, [], [TextPair("", "", "")] * len(items), [], [], [])  # nobody reads texts
    config = TrainConfig(held_out=0, samples=0, eval_every=0, **settings)
    with patch("workbench.runs.prepare.load_data", lambda *_, **__: data):
        return prepare(config, base=base)


def places(batches: list[SequenceBatch]) -> list[int]:
    """Which pairs are in them."""
    return [place for batch in batches if batch.index is not None for place in batch.index.tolist()]


class Steps:
    """The loop's own steps, one at a time, with forward and backward timed apart."""

    def __init__(self, parts: Parts, batches: BatchSource | None = None) -> None:
        self._events = fit(
            parts.model.policy,
            batches or parts.batches,
            parts.config,
            method=parts.method,
            reference=parts.reference,
        )

    def take(self) -> tuple[float, float]:
        """Seconds of the next step: up to the end of its last backward pass, and in all."""
        import torch  # loaded by now; at the top it would come before the environment is set

        backward, end = torch.autograd.backward, 0.0

        def noted(*given: Any, **named: Any) -> None:
            nonlocal end
            backward(*given, **named)
            end = time.perf_counter()

        with patch("torch.autograd.backward", noted):
            begin = time.perf_counter()
            next(self._events)
            return end - begin, time.perf_counter() - begin


def train(setting: dict[str, Any], turns: Turns) -> None:
    """Steps of a run. Its order of pairs is told to the others, who take the same."""
    import torch

    pairs, steps = read_token_pairs(setting["pairs"]), setting["steps"]
    config = {"max_steps": steps, **setting["config"]}
    items = labelled(pairs) if config.get("loss") == "kto" else pairs
    parts = prepared(items, tiny_model() if config["model"] == "tiny" else None, **config)
    run = Run(parts)
    batches = [parts.batches.at(step) for step in range(steps)]
    scored = [part for step in batches for batch in step for part in batch.parts]
    order = [places(step) for step in batches]
    turns.ready(
        precision=parts.config.precision,
        # Padding included.
        tokens_per_pair=sum(part.tokens.numel() for part in scored)
        / (sum(map(len, order)) * len(pairs) / len(items)),
        order=order,
        layout=parts.config.layout,
        threads=torch.get_num_threads(),
    )
    for event in run:
        if isinstance(event, StepEvent):
            turns.step_done()


def rollouts(setting: dict[str, Any], turns: Turns) -> None:
    """Whole rollouts of a run, one per step: written, scored and trained on. Their prompts are told
    to the others."""
    config = TrainConfig(held_out=0, samples=0, eval_every=0, max_steps=10**6, **setting["config"])
    run = Run(prepare(config))
    batches = run._batches
    assert isinstance(batches, RolloutBatches)
    texts, told = batches.texts, batches.fork()
    order = []
    for told.number in range(setting["steps"]):
        order.append([texts[index].prompt for index in told._prompts()])
    turns.ready(precision=run.config.precision, prompts=order)
    for event in run:
        if isinstance(event, StepEvent) and event.step % batches.steps_per_rollout == 0:
            turns.step_done()


def answer(setting: dict[str, Any], turns: Turns) -> None:
    """Greedy answers to the prompts, again and again, once per step; none ends early."""
    model = load_model(setting.get("model", "smollm2"))
    device = pick_device("auto")
    model.policy.to(device)
    set_threads(model.policy)
    model.policy.kernels = kernels_for("fast", model.policy, device)
    config = SamplingConfig(temperature=0, max_new_tokens=setting["new_tokens"])
    turns.ready(precision=setting["precision"])
    while True:
        with computing(model.policy, device, setting["precision"]):
            generate(model.policy, setting["prompts"], config, (), setting["pad_id"])
        turns.step_done()


if __name__ == "__main__":
    serve({"train": train, "rollouts": rollouts, "answer": answer}[sys.argv[1]])
