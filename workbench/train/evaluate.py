"""The fixed held-out evaluation: pairs scored, prompts answered, KL estimated from the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import nn

from workbench.core.batch import PreferenceBatch, collate_sequences
from workbench.core.logps import completion_logps
from workbench.core.losses import LOSSES, PairLogps
from workbench.core.metrics import mean_metrics, pair_metrics, sampled_kl, wilson_interval
from workbench.data.pairs import TextPair
from workbench.data.tokenizer import Tokenizer
from workbench.models.sampling import SamplingConfig, generate
from workbench.train.batches import FixedBatches
from workbench.train.events import EvalEvent, Sample, SampleEvent
from workbench.train.objectives import Settings
from workbench.train.precision import autocast
from workbench.train.reference import LiveReference, Reference

PREFIX = "held_out/"
SHOWN = 4  # samples in an event; the numbers are over all of them
# (prompt, completion) -> named scores of a sampled text; a world knows its true reward.
TextScores = Callable[[str, str], dict[str, float]]


@dataclass
class Evaluator:
    """Holds what stays the same over a run, so that two evaluations differ by the policy alone."""

    held_out: FixedBatches | None
    scored_reference: Reference
    reference: LiveReference
    tokenizer: Tokenizer
    prompts: Sequence[TextPair]
    sampling: SamplingConfig
    device: str
    precision: str
    scores: TextScores | None = None
    _answers: dict[tuple[tuple[str, ...], SamplingConfig], list[list[int]]] = field(
        default_factory=dict
    )

    @torch.no_grad()
    def __call__(
        self, policy: nn.Module, step: int, settings: Settings
    ) -> list[EvalEvent | SampleEvent]:
        """Evaluate `policy` as it is now."""
        metrics = self.score_pairs(policy, settings)
        events: list[EvalEvent | SampleEvent] = []
        if self.prompts:
            found, samples = self._score_samples(policy)
            metrics |= found
            events.append(SampleEvent(step, samples))
        named = {PREFIX + name: value for name, value in metrics.items()}
        return [EvalEvent(step, named), *events]

    @torch.no_grad()
    def score_pairs(self, policy: nn.Module, settings: Settings) -> dict[str, float]:
        """Means of the pair metrics over the held-out pairs, with the accuracy's 95% interval."""
        if self.held_out is None:
            return {}
        values: list[dict[str, torch.Tensor]] = []
        loss = LOSSES[settings.loss]
        for batch in self.held_out.batches:
            here = batch.to(self.device)
            assert isinstance(here, PreferenceBatch)
            with autocast(self.device, self.precision):
                sums = completion_logps(policy, here)  # type: ignore[arg-type]
            reference = self.scored_reference.logps(here)
            logps = PairLogps.from_sequences(here, sums, reference)
            losses = loss(logps, **loss.pick(asdict(settings)))
            values.append(pair_metrics(logps, settings.beta, losses))
        merged = {name: torch.cat([part[name] for part in values]) for name in values[0]}
        metrics = mean_metrics(merged)
        share, count = metrics["rewards/accuracies"], len(merged["loss"])
        low, high = wilson_interval(share, count)
        return metrics | {"rewards/accuracies_low": low, "rewards/accuracies_high": high}

    def sample(
        self, policy: nn.Module, prompts: Sequence[TextPair], sampling: SamplingConfig
    ) -> tuple[Sample, ...]:
        """Reference and policy on the same prompts with the same seed."""
        rendered = self._render(prompts)
        decode = self.tokenizer.decode
        with self.reference.active():
            reference = self._generate(self.reference.model, rendered, sampling)
        ours = self._generate(policy, rendered, sampling)
        return tuple(
            Sample(pair.prompt, decode(left), decode(right), sampling.seed)
            for pair, left, right in zip(prompts, reference, ours, strict=True)
        )

    def _render(self, prompts: Sequence[TextPair]) -> list[list[int]]:
        return [self.tokenizer.render_prompt(pair.prompt, pair.system) for pair in prompts]

    def _generate(
        self, model: nn.Module, prompts: list[list[int]], sampling: SamplingConfig
    ) -> list[list[int]]:
        stop = self.tokenizer.stop_ids
        with autocast(self.device, self.precision):
            return generate(model, prompts, sampling, stop, self.tokenizer.pad_id)

    def _score_samples(self, policy: nn.Module) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """Answers to the fixed prompts at temperature 1, their lengths, scores and the KL."""
        sampling = replace(self.sampling, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
        rendered = self._render(self.prompts)
        key = (tuple(pair.prompt for pair in self.prompts), sampling)
        if key not in self._answers:  # the reference never changes: ask it once
            with self.reference.active():
                self._answers[key] = self._generate(self.reference.model, rendered, sampling)
        answers = self._generate(policy, rendered, sampling)
        texts = [self.tokenizer.decode(ids) for ids in answers]
        metrics = {"samples/length": sum(map(len, answers)) / len(answers)}
        metrics |= self._kl(policy, rendered, answers)
        if self.scores:
            scored = [self.scores(p.prompt, t) for p, t in zip(self.prompts, texts, strict=True)]
            for name in scored[0]:
                metrics[f"samples/{name}"] = sum(s[name] for s in scored) / len(scored)
        shown = zip(self.prompts[:SHOWN], self._answers[key], texts, strict=False)
        samples = tuple(
            Sample(pair.prompt, self.tokenizer.decode(ids), text, sampling.seed)
            for pair, ids, text in shown
        )
        return metrics, samples

    def _kl(
        self, policy: nn.Module, prompts: list[list[int]], answers: list[list[int]]
    ) -> dict[str, float]:
        # A text that reached its end was drawn with its end token, so that one counts as well.
        longest = self.sampling.max_new_tokens
        ended = [ids if len(ids) >= longest else [*ids, self.tokenizer.eos_id] for ids in answers]
        sequences = list(zip(prompts, ended, strict=True))
        batch = collate_sequences(sequences, self.tokenizer.pad_id).to(self.device)
        with autocast(self.device, self.precision):
            ours = completion_logps(policy, batch)  # type: ignore[arg-type]
            with self.reference.active():
                theirs = completion_logps(self.reference.model, batch)  # type: ignore[arg-type]
        mean, error = sampled_kl(ours, theirs)
        return {"kl/policy_reference": mean, "kl/policy_reference_se": error}
