"""The fixed held-out evaluation: pairs scored, prompts answered, KL estimated from the answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.core.batch import PreferenceBatch, collate_sequences
from workbench.core.logps import completion_logps
from workbench.core.losses import LOSSES, PairLogps
from workbench.core.metrics import mean_metrics, pair_metrics, sampled_kl, wilson_interval
from workbench.data.pairs import TextPair
from workbench.data.tokenizer import Tokenizer
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.generation.scoped_policy import ScopedPolicy
from workbench.generation.stops import cut
from workbench.train.batches import FixedBatches
from workbench.train.events import EvalEvent, Sample, SampleEvent
from workbench.train.objectives import LiveSettings
from workbench.train.precision import computing, return_free_memory
from workbench.train.reference import LiveReference, Reference

PREFIX = "held_out/"
SHOWN = 4  # samples in an event; the numbers are over all of them
REMEMBERED = 16  # sets of the reference's answers that are kept
# (prompt, completion) -> named scores of a sampled text; a world knows its true reward.
TextScores = Callable[[str, str], dict[str, float]]


@dataclass
class Evaluator:
    """Holds what stays the same over a run, so that two evaluations differ by the policy alone."""

    held_out: FixedBatches | None
    scored_reference: Reference
    reference: LiveReference
    tokenizer: Tokenizer
    max_length: int
    prompts: Sequence[TextPair]
    sampling: SamplingConfig
    device: str
    precision: str
    scores: TextScores | None = None
    shown_temperature: float = 1.0
    _answers: dict[tuple[tuple[tuple[int, ...], ...], SamplingConfig], list[list[int]]] = field(
        default_factory=dict
    )

    @torch.no_grad()
    def __call__(
        self, policy: nn.Module, step: int, settings: LiveSettings
    ) -> list[EvalEvent | SampleEvent]:
        """Evaluate `policy` as it is now."""
        return_free_memory()
        events: list[EvalEvent | SampleEvent] = []
        with computing(policy, self.device, self.precision):
            metrics = self.score_pairs(policy, settings)
            if self.prompts:
                found, samples = self._score_samples(policy)
                metrics |= found
                events.append(SampleEvent(step, samples))
        return_free_memory()
        named = {PREFIX + name: value for name, value in metrics.items()}
        return [EvalEvent(step, named), *events]

    @torch.no_grad()
    def pair_values(self, policy: nn.Module, settings: LiveSettings) -> dict[str, Tensor]:
        """Every pair metric of every held-out pair, (pair,) each, in the order of the data."""
        if self.held_out is None:
            return {}
        parts: list[dict[str, Tensor]] = []
        order: list[Tensor] = []
        loss = LOSSES[settings.loss]
        for batch in self.held_out.batches:
            here = batch.to(self.device)
            assert isinstance(here, PreferenceBatch)
            assert here.index is not None
            with computing(policy, self.device, self.precision):
                sums = completion_logps(policy, here)  # type: ignore[arg-type]
            logps = PairLogps.from_sequences(here, sums, self.scored_reference.logps(here))
            losses = loss(logps, **loss.pick(asdict(settings)))
            parts.append(pair_metrics(logps, settings.beta, losses))
            order.append(here.index)
        places = torch.cat(order).argsort()
        return {name: torch.cat([part[name] for part in parts])[places] for name in parts[0]}

    def score_pairs(self, policy: nn.Module, settings: LiveSettings) -> dict[str, float]:
        """Means of the pair metrics over the held-out pairs, with the accuracy's 95% interval."""
        values = self.pair_values(policy, settings)
        if not values:
            return {}
        metrics = mean_metrics(values)
        low, high = wilson_interval(metrics["rewards/accuracies"], len(values["loss"]))
        return metrics | {"rewards/accuracies_low": low, "rewards/accuracies_high": high}

    def sample(
        self, policy: nn.Module, prompts: Sequence[TextPair], sampling: SamplingConfig
    ) -> tuple[Sample, ...]:
        """Reference and policy on the same prompts with the same seed."""
        rendered = self._render(prompts)

        def decode(ids: list[int]) -> str:
            return cut(self.tokenizer.decode(ids), sampling.stop)

        plain = replace(sampling, contrast_alpha=0.0)  # the reference is the one compared with
        reference = self._reference_answers(rendered, plain)
        with self._amateur(policy, sampling) as amateur:
            ours = self._generate(policy, rendered, sampling, amateur)
        return tuple(
            Sample(pair.prompt, decode(left), decode(right), sampling.seed)
            for pair, left, right in zip(prompts, reference, ours, strict=True)
        )

    def _reference_answers(
        self, prompts: list[list[int]], sampling: SamplingConfig
    ) -> list[list[int]]:
        """The reference never changes, so what it answered to the shown prompts is remembered."""
        key = (tuple(map(tuple, prompts)), sampling)
        if key not in self._answers:
            if len(self._answers) >= REMEMBERED:
                self._answers.pop(next(iter(self._answers)))
            with self.reference.active():
                self._answers[key] = self._generate(self.reference.model, prompts, sampling)
        return self._answers[key]

    def _render(self, prompts: Sequence[TextPair]) -> list[list[int]]:
        return [self.tokenizer.render_prompt(pair.prompt, pair.system) for pair in prompts]

    def _generate(
        self,
        model: nn.Module,
        prompts: list[list[int]],
        sampling: SamplingConfig,
        amateur: Any = None,
    ) -> list[list[int]]:
        tokenizer = self.tokenizer
        with computing(model, self.device, self.precision):
            return generate(
                model,
                prompts,
                sampling,
                tokenizer.stop_ids,
                tokenizer.pad_id,
                decode=tokenizer.decode,
                amateur=amateur,
            )

    @contextmanager
    def _amateur(self, policy: nn.Module, sampling: SamplingConfig) -> Iterator[Any]:
        """The reference, where the policy is to be contrasted with it."""
        if not sampling.contrast_alpha:
            yield None
        elif self.reference.model is policy:  # with adapters, which are switched by turns
            yield ScopedPolicy(policy, self.reference.active)
        else:
            with self.reference.active():
                yield self.reference.model

    def _score_samples(self, policy: nn.Module) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """Answers to the fixed prompts at temperature 1: their lengths, scores and the KL."""
        rendered = self._render(self.prompts)
        answers = self._generate(policy, rendered, self.sampling)
        texts = [self.tokenizer.decode(ids) for ids in answers]
        metrics = {"samples/length": sum(map(len, answers)) / len(answers)}
        metrics |= self._kl(policy, rendered, answers)
        if self.scores:
            scored = [self.scores(p.prompt, t) for p, t in zip(self.prompts, texts, strict=True)]
            for name in scored[0]:
                metrics[f"samples/{name}"] = sum(s[name] for s in scored) / len(scored)
        shown = replace(self.sampling, temperature=self.shown_temperature)
        return metrics, self.sample(policy, self.prompts[:SHOWN], shown)

    def _kl(
        self, policy: nn.Module, prompts: list[list[int]], answers: list[list[int]]
    ) -> dict[str, float]:
        # A text that reached its end was drawn with its end token, so that one counts as well.
        longest, end = self.sampling.max_new_tokens, [self.tokenizer.eos_id]
        sequences = [
            (prompt, ids if len(ids) >= min(longest, self.max_length - len(prompt)) else ids + end)
            for prompt, ids in zip(prompts, answers, strict=True)
        ]
        batch = collate_sequences(sequences, self.tokenizer.pad_id).to(self.device)
        with computing(policy, self.device, self.precision):
            ours = completion_logps(policy, batch)  # type: ignore[arg-type]
        with self.reference.active():
            reference = self.reference.model
            with computing(reference, self.device, self.precision):
                theirs = completion_logps(reference, batch)  # type: ignore[arg-type]
        mean, error = sampled_kl(ours, theirs)
        found = {"kl/policy_reference": mean}
        return found if math.isnan(error) else found | {"kl/policy_reference_se": error}
