"""A run from end to end: model, pairs, frozen reference, loop, evaluation, record.

A `Run` is an iterator of events. Whoever holds it decides when to ask for the next one: a command
line in a `for` loop, a dashboard from its thread, a notebook cell by hand.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from workbench.core.batch import Pair
from workbench.data.cache import cache_folder
from workbench.data.pairs import SetAside, TextPair
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.load import Model, load_model, model_hash
from workbench.models.lora import adapters_off, add_lora
from workbench.models.sampling import SamplingConfig
from workbench.train.base import Progress, tiny_base
from workbench.train.batches import ShuffledBatches, in_order, pair_batches
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.dataset import RunData, load_data, write_answers
from workbench.train.evaluate import Evaluator
from workbench.train.events import CheckpointEvent, EndEvent, EvalEvent, Event, Sample, StepEvent
from workbench.train.loop import NonFiniteLossError, TrainState, fit, total_steps
from workbench.train.objectives import Settings, preference
from workbench.train.precision import (
    peak_memory_bytes,
    pick_device,
    pick_precision,
    set_threads,
)
from workbench.train.record import Record, trainable_state
from workbench.train.reference import (
    CachedReference,
    LiveReference,
    cache_key,
    cache_reference,
    freeze,
)


class Run:
    """One training run. Make it by `Run.create` or `Run.resume`, then iterate.

    Attributes:
        name: "run", or the branch's name.
        config: every setting, filled in.
        model, policy, tokenizer: what is trained.
        data: pairs, held-out pairs and the rows set aside.
        reference_hash: sha256 of the frozen reference's weights.
        data_hash: sha256 of the token pairs, training and held-out.
        control: live changes, from any thread.
        events: all that was said so far.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Model,
        data: RunData,
        evaluator: Evaluator,
        batches: ShuffledBatches[Pair],
        train_reference: CachedReference | LiveReference,
        reference_hash: str,
    ) -> None:
        self.name = "run"
        self.config, self.model, self.data = config, model, data
        self.policy: nn.Module = model.policy
        self.reference_hash = reference_hash
        self.data_hash = cache_key("", [*data.train, *data.held_out])
        self.control = Control()
        self.events: list[Event] = []
        self.record: Record | None = None
        self.finished = False
        self._evaluator, self._batches = evaluator, batches
        self._objective = preference(train_reference)
        self._state = TrainState.start(self.policy, config)
        self._generator: Iterator[Event] | None = None

    # -- making one ---------------------------------------------------------------------------

    @classmethod
    def create(
        cls, config: TrainConfig, progress: Progress | None = None, base: Model | None = None
    ) -> Run:
        """Load or take the model, read the pairs, freeze the reference; nothing is trained yet.

        Args:
            config: open fields are filled in for the model.
            progress: told what is happening, and the share done (0 to 1).
            base: a model in hand, instead of the one that `config.model` names.

        Raises:
            WorkbenchError: for anything that a person can mend; no run folder is left behind then.
        """
        if config.out is not None:
            Record.refuse_existing(Path(config.out))
        run = cls._prepare(config, progress or (lambda text, share: None), base)
        if run.config.out is not None:
            run.record = Record.create(Path(run.config.out), run.config)
            run.record.list_set_aside(run.set_aside)
        return run

    @classmethod
    def resume(cls, folder: Path | str, progress: Progress | None = None) -> Run:
        """Go on from the newest checkpoint of a run that was interrupted or stopped.

        What was said after that checkpoint is taken back: it comes again.

        Raises:
            WorkbenchError: no run there, it has finished, or its model or pairs are not what they
                were.
        """
        record = Record(Path(folder))
        config = replace(record.config(), out=str(folder))
        if (record.summary() or {}).get("reason") == "finished":
            raise WorkbenchError(f"the run in {folder} has finished; nothing is left to do")
        run = cls._prepare(config, progress or (lambda text, share: None), None)
        run.record = record
        if numbers := record.numbers():
            run._refuse_other(numbers, "reference_hash", "data_hash")
            unfinished = numbers["step"] < run.total
            record.load_checkpoint(run.policy, run._state.optimizer if unfinished else None)
            for name in ("step", "seconds", "pairs"):
                setattr(run._state, name, numbers[name])
            run._state.settings = Settings(**numbers["settings"])
            kept = CheckpointEvent(numbers["step"], record.checkpoints()[-1].name)
            run.events = [*record.events()[: numbers["events"]], kept]
        record.reopen(run.events)
        return run

    def _refuse_other(self, numbers: dict[str, Any], *names: str) -> None:
        """Raise where a checkpoint was made with another model or other pairs."""
        for name in names:
            if numbers[name] != (now := getattr(self, name)):
                what = f"model {self.config.model}" if name == "reference_hash" else "pairs"
                raise WorkbenchError(
                    f"the {what} of this run had {name} {numbers[name][:12]}, it is now "
                    f"{now[:12]}; give back what the run was made with"
                )

    @classmethod
    def _prepare(cls, config: TrainConfig, progress: Progress, base: Model | None) -> Run:
        asked, config = config.max_length or 0, config.resolved()
        model = base or open_model(config, progress)
        if asked > model.max_length:
            raise WorkbenchError(
                f"max_length={asked} is not accepted: {model.name} takes up to {model.max_length}"
            )
        device = pick_device(config.device)
        precision = pick_precision(config.precision, device, model.policy)
        can_share = getattr(model.policy, "supports_branches", True)
        if config.layout == "shared_prefix" and not can_share:
            raise WorkbenchError(
                f"layout='shared_prefix' does not work with {model.name}; accepted: stacked"
            )
        layout = config.layout or ("shared_prefix" if can_share else "stacked")
        length = min(config.max_length or model.max_length, model.max_length)
        config = replace(
            config, device=device, precision=precision, layout=layout, max_length=length
        )
        model.policy.to(device)
        set_threads(model.policy)
        progress("reading the pairs", 0.0)
        data = load_data(config, model, device, precision)
        reference_hash = model_hash(model.policy)
        policy, live = _freeze(model.policy, config)
        model = replace(model, policy=policy)
        pad_id = model.tokenizer.pad_id
        size = config.batch_size or 1

        def reference_for(pairs: list[Pair]) -> CachedReference | LiveReference:
            if config.reference == "live" or not pairs:
                return live
            # The batch size counts: the last digits of a sum depend on the shape of its batch.
            key = cache_key(reference_hash, pairs, precision, layout, device, str(size))
            path = None if config.model == "tiny" else cache_folder() / "reference" / key
            ordered = in_order(pairs, pad_id, size, layout)
            return cache_reference(live, ordered, len(pairs), path, device, progress)

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
        batches = pair_batches(data.train, pad_id, size, config.accumulate, layout, config.seed)
        reference = reference_for(data.train)
        return cls(config, model, data, evaluator, batches, reference, reference_hash)

    def branch(self, name: str) -> Run:
        """A copy of weights, optimiser and settings as they are now; both can go on, apart.

        A recorded run's branch is recorded beside it, in a folder of its own that begins with a
        checkpoint, so that the branch can be resumed from its first step on.
        """
        other = copy.copy(self)
        other.name = name
        other.policy = copy.deepcopy(self.policy)
        other.model = replace(self.model, policy=other.policy)
        other._state = self._state.fork(other.policy, self.config)
        other.control, other.events, other._generator = Control(), list(self.events), None
        if self.record is not None:
            folder, suffix = self.record.folder, re.sub(r"[^\w.-]", "-", name)
            beside = folder.with_name(f"{folder.name}-{suffix}")
            other.config = replace(self.config, out=str(beside))
            other.record = Record.create(beside, other.config)
            other.record.list_set_aside(self.set_aside)
            other.events.append(other._checkpoint(keep_optimizer=True))
            other.record.reopen(other.events)
        return other

    # -- looking at it ------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return self._state.step

    @property
    def total(self) -> int:
        """Optimiser steps that the whole run takes."""
        return total_steps(self._batches, self.config)

    @property
    def settings(self) -> Settings:
        """Loss, beta and learning rate as they are now."""
        return self._state.settings

    @property
    def folder(self) -> Path | None:
        """Where the run is written, if it is."""
        return self.record.folder if self.record else None

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self.model.tokenizer

    @property
    def set_aside(self) -> list[SetAside]:
        """Rows of the data that can't be used, with the reason."""
        return self.data.set_aside

    @property
    def prompts(self) -> list[str]:
        """A few prompts to try, held-out ones where there are any."""
        return list(dict.fromkeys(pair.prompt for pair in self.data.prompts(8)))

    @property
    def shown_sampling(self) -> SamplingConfig:
        """How the texts that are shown are drawn."""
        config = self.config.resolved()
        return SamplingConfig(
            temperature=config.shown_temperature or 0.0, max_new_tokens=config.max_new_tokens or 40
        )

    def frame(self) -> pd.DataFrame:
        """Tidy: one row a number, with columns run, step, metric, value."""
        rows = [
            (self.name, event.step, name, value)
            for event in self.events
            if isinstance(event, StepEvent | EvalEvent)
            for name, value in event.metrics.items()
        ]
        return pd.DataFrame(rows, columns=["run", "step", "metric", "value"])

    def sample(
        self, prompts: list[str], sampling: SamplingConfig | None = None
    ) -> tuple[Sample, ...]:
        """Reference and policy on `prompts` with the same seed."""
        pairs = [TextPair(prompt, "", "") for prompt in prompts]
        return self._evaluator.sample(self.policy, pairs, sampling or self.shown_sampling)

    def evaluate(self) -> dict[str, float]:
        """The held-out metrics of the policy as it is now, keys with `held_out/` in front."""
        event = self._evaluator(self.policy, self.step, self.settings)[0]
        assert isinstance(event, EvalEvent)
        return event.metrics

    def held_out_frame(self) -> pd.DataFrame:
        """One row a held-out pair: prompt, chosen, rejected and the pair metrics."""
        texts = pd.DataFrame(
            [(t.prompt, t.chosen, t.rejected) for t in self.data.held_out_texts],
            columns=["prompt", "chosen", "rejected"],
        )
        values = self._evaluator.pair_values(self.policy, self.settings)
        return texts.assign(**{name: value.float().cpu().numpy() for name, value in values.items()})

    def samples_frame(
        self, count: int = 256, sampling: SamplingConfig | None = None
    ) -> pd.DataFrame:
        """One row a text: who wrote it, prompt, text, words, and the scores of a known world.

        Reference and policy answer the same `count` prompts with the same seed.
        """
        asked = [pair.prompt for pair in self.data.prompts(count)]
        rows = []
        at_one = replace(self.shown_sampling, temperature=1.0)
        for sample in self.sample(asked, sampling or at_one):
            for who, text in (("reference", sample.reference), ("policy", sample.policy)):
                known = self.data.scores(sample.prompt, text) if self.data.scores else {}
                rows.append(
                    {"who": who, "prompt": sample.prompt, "text": text, "words": len(text.split())}
                    | known
                )
        return pd.DataFrame(rows)

    # -- going on -----------------------------------------------------------------------------

    def __iter__(self) -> Run:
        return self

    def __next__(self) -> Event:
        if self._generator is None:
            self._generator = self._go()
        event = next(self._generator)
        self.events.append(event)
        if self.record:
            self.record.append(event)
        return event

    def _go(self) -> Iterator[Event]:
        evaluated = any(isinstance(event, EvalEvent) for event in self.events)
        if not evaluated:
            yield from self._evaluator(self.policy, self.step, self.settings)
        steps = fit(
            self.policy, self._batches, self.config, self.control,
            objective=self._objective, state=self._state,
        )  # fmt: skip
        try:
            for event in steps:
                yield event
                if isinstance(event, StepEvent):
                    yield from self._after_step()
        except NonFiniteLossError as error:
            kept = self.record.checkpoints() if self.record else []
            raise NonFiniteLossError(
                f"{error}; kept: {kept[-1]}" if kept else str(error)
            ) from error
        yield from self._end()

    def _after_step(self) -> Iterator[Event]:
        every, last = self.config.eval_every or 0, self.step == self.total
        if not last and every and self.step % every == 0:
            yield from self._evaluator(self.policy, self.step, self.settings)
        interval = self.config.checkpoint_every or len(self._batches)
        if self.record and not last and self.step % interval == 0:
            yield self._checkpoint(keep_optimizer=True)

    def _end(self) -> Iterator[Event]:
        reason = "finished" if self.step >= self.total else "stopped"
        evaluated = [event.step for event in self.events if isinstance(event, EvalEvent)]
        if self.step not in evaluated:
            yield from self._evaluator(self.policy, self.step, self.settings)
        self.finished = True
        if self.record:
            if self.step not in [e.step for e in self.events if isinstance(e, CheckpointEvent)]:
                yield self._checkpoint(keep_optimizer=reason == "stopped")
            self.record.summarise(self.summary(reason))
        yield EndEvent(self.step, reason)

    def _checkpoint(self, keep_optimizer: bool) -> CheckpointEvent:
        assert self.record is not None
        state = self._state
        path = self.record.save_checkpoint(
            trainable_state(self.policy),
            state.optimizer if keep_optimizer else None,
            {
                **state.numbers(),
                "events": len(self.events),
                "reference_hash": self.reference_hash,
                "data_hash": self.data_hash,
            },
        )
        return CheckpointEvent(self.step, path.name)

    def summary(self, reason: str) -> dict[str, Any]:
        """What summary.json holds: the last held-out metrics and what the run took."""
        evaluations = [event for event in self.events if isinstance(event, EvalEvent)]
        state = self._state
        return {
            **(evaluations[-1].metrics if evaluations else {}),
            "reason": reason,
            "steps": state.step,
            "pairs": state.pairs,
            "seconds": state.seconds,
            "pairs_per_second": state.pairs / state.seconds if state.seconds else 0.0,
            "peak_memory_bytes": peak_memory_bytes(self.config.device),
            "reference_hash": self.reference_hash,
            "settings": asdict(state.settings),
        }


def open_model(config: TrainConfig, progress: Progress | None = None) -> Model:
    """The base model that `config.model` names."""
    if config.model == "tiny":
        return tiny_base(config.world, progress=progress)
    return load_model(config.model, progress)


def answer(name: str, prompts: list[TextPair], sampling: SamplingConfig) -> list[str]:
    """A model's own answers, without any run: "tiny", "smollm2", a folder or an id."""
    config = TrainConfig(model=name).resolved()
    model = open_model(config)
    device = pick_device(config.device)
    precision = pick_precision(config.precision, device, model.policy)
    return write_answers(model, prompts, sampling, device, precision)


def load_policy(folder: Path | str, progress: Progress | None = None) -> Run:
    """A recorded run with the weights of its newest checkpoint, to sample and evaluate."""
    record = Record(Path(folder))
    run = Run._prepare(replace(record.config(), out=None), progress or (lambda t, s: None), None)
    numbers = record.numbers()
    if numbers is None:
        raise WorkbenchError(f"{folder} has no checkpoint yet")
    run._refuse_other(numbers, "reference_hash")
    record.load_checkpoint(run.policy)
    run.events = record.events()
    return run


def _freeze(policy: nn.Module, config: TrainConfig) -> tuple[nn.Module, LiveReference]:
    """What is trained, and the reference: adapters switched off, or a frozen copy."""
    if config.lora:
        add_lora(policy, config.lora, seed=config.seed)
        off = partial(adapters_off, policy)
        return policy, LiveReference(policy, config.device, config.precision, off)
    frozen = freeze(policy, config.precision)
    return policy, LiveReference(frozen, config.device, config.precision)
