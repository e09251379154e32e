"""The fixed held-out evaluation: items scored, prompts answered, KL estimated from the answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from workbench.core.batch import SequenceBatch
from workbench.core.collation import collate_sequences
from workbench.core.metrics import mean_and_error, mean_metrics, sampled_kl, wilson_interval
from workbench.core.policy import Policy
from workbench.data.encoding.encode_rows import prompt_ids
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.generation.scoped_policy import ScopedPolicy
from workbench.generation.shown import cut_at, described
from workbench.generation.stops import Stops, cut
from workbench.train import distributed
from workbench.train.events import EvalEvent, Sample, SampleEvent
from workbench.train.method import Method, Reference
from workbench.train.precision import computing, return_free_memory
from workbench.train.reference.live import LiveReference
from workbench.train.reference.values import own_share
from workbench.train.settings import LiveSettings

PREFIX = "held_out/"
SHOWN = 4  # samples in an event; the numbers are over all of them
REMEMBERED = 16  # sets of the start model's answers that are kept
# (prompt, completion) -> named scores of a sampled text; a world knows its true reward.
TextScores = Callable[[str, str], dict[str, float]]


@dataclass
class Evaluator:
    """What stays the same over a run, so that two evaluations differ by the policy alone.

    Attributes:
        method: of the run; it scores the held-out items.
        held_out: batches of them, in a fixed order.
        scored_reference: for the losses of the held-out items, where the method compares.
        start: the model as it was before the run; with a reference, the reference.
        beside: whether evaluations show the start model's texts beside the policy's, and estimate
            the KL to it. Without a reference they are made on request only.
        prompts: answered at each evaluation; none for a model that writes no texts.
        sampling: of the answers that numbers are estimated from, at temperature 1.
        shown: of the answers that people read.
    """

    method: Method[Any]
    held_out: Sequence[SequenceBatch]
    scored_reference: Reference | None
    start: LiveReference
    beside: bool
    tokenizer: Tokenizer
    prompts: Sequence[Any]
    sampling: SamplingConfig
    device: str
    precision: str
    scores: TextScores | None = None
    shown: SamplingConfig = field(default_factory=SamplingConfig)
    _answers: dict[tuple[tuple[tuple[int, ...], ...], SamplingConfig], list[list[int]]] = field(
        default_factory=dict
    )

    @torch.no_grad()
    def __call__(
        self, policy: Policy, step: int, settings: LiveSettings
    ) -> list[EvalEvent | SampleEvent]:
        """Evaluate `policy` as it is now."""
        return_free_memory()
        events: list[EvalEvent | SampleEvent] = []
        with computing(policy, self.device, self.precision):
            metrics = self.score_items(policy, settings)
            if self.prompts:
                found, samples = self._score_samples(policy)
                metrics |= found
                events.append(SampleEvent(step, samples))
        return_free_memory()
        named = {PREFIX + name: value for name, value in metrics.items()}
        return [EvalEvent(step, named), *events]

    def item_values(self, policy: Policy, settings: LiveSettings) -> dict[str, Tensor]:
        """Every metric of every held-out item, (item,) each, in the order of the data."""
        return self._item_values(policy, settings)[0]

    @torch.no_grad()
    def _item_values(
        self, policy: Policy, settings: LiveSettings
    ) -> tuple[dict[str, Tensor], float]:
        """The same, and the loss: the sum of the items' values over that of their weights."""
        method, reference = self.method, self.scored_reference
        if not self.held_out:
            return {}, math.nan
        batches = [batch.to(self.device) for batch in own_share(self.held_out)]
        parts, total, weight = [], 0.0, 0.0
        with computing(policy, self.device, self.precision):
            shared = method.statistics(policy, batches, settings, reference)
        for batch in batches:
            with computing(policy, self.device, self.precision):
                found = method.losses(policy, batch, settings, reference, shared)
            assert batch.index is not None
            parts.append(batch.counted({"index": batch.index, **found.metrics}))
            total += float(found.values.detach().double().sum()) * batch.counts
            weight += float(method.weights(batch).sum()) * batch.counts
        values = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        values = distributed.gather(values)
        positions = values.pop("index").argsort()
        sums = distributed.total(torch.tensor([total, weight], dtype=torch.double))
        return {n: value[positions] for n, value in values.items()}, float(sums[0] / sums[1])

    def score_items(self, policy: Policy, settings: LiveSettings) -> dict[str, float]:
        """Means over the held-out items, the accuracy with its 95% interval."""
        values, loss = self._item_values(policy, settings)
        if not values:
            return {}
        metrics = mean_metrics(values) | {"loss": loss}
        if "rewards/accuracies" in metrics:
            low, high = wilson_interval(metrics["rewards/accuracies"], len(values["loss"]))
            metrics |= {"rewards/accuracies_low": low, "rewards/accuracies_high": high}
        return metrics

    def sample(
        self, policy: Policy, prompts: Sequence[Any], sampling: SamplingConfig, beside: bool = True
    ) -> tuple[Sample, ...]:
        """Start model and policy on the same prompts with the same seed.

        `beside` False makes no texts of the start model: they are None.
        """
        if not policy.generates:
            raise WorkbenchError(
                f"a run of method {self.method.name} has no model that generates texts"
            )
        rendered = self._render(prompts)

        def decode(ids: list[int]) -> str:
            return cut(self.tokenizer.decode(ids), sampling.stop)

        plain = replace(sampling, contrast_alpha=0.0)  # the reference is the one compared with
        before = self._start_answers(rendered, plain) if beside else [None for _ in prompts]
        contrast = self._start_beside(policy) if sampling.contrast_alpha else nullcontext()
        with contrast as amateur:
            ours = self._generate(policy, rendered, sampling, amateur)
        drawn = described(sampling, [policy])
        return tuple(
            Sample(
                pair.prompt, None if left is None else decode(left), decode(right), sampling.seed,
                0 if left is None else self._cut_at(policy, ids, left, plain),
                self._cut_at(policy, ids, right, sampling), drawn,
            )
            for pair, ids, left, right in zip(prompts, rendered, before, ours, strict=True)
        )  # fmt: skip

    def _cut_at(
        self, policy: Policy, prompt: list[int], ids: list[int], sampling: SamplingConfig
    ) -> int:
        return cut_at(policy, prompt, ids, sampling, self.tokenizer.decode)

    def _start_answers(self, prompts: list[list[int]], sampling: SamplingConfig) -> list[list[int]]:
        """The start model never changes, so its answers to the shown prompts are remembered."""
        key = (tuple(map(tuple, prompts)), sampling)
        if key not in self._answers:
            if len(self._answers) >= REMEMBERED:
                self._answers.pop(next(iter(self._answers)))
            with self.start.active():
                self._answers[key] = self._generate(self.start.model, prompts, sampling)
        return self._answers[key]

    def _render(self, prompts: Sequence[Any]) -> list[list[int]]:
        return [prompt_ids(pair, self.tokenizer) for pair in prompts]

    def _generate(
        self,
        model: Policy,
        prompts: list[list[int]],
        sampling: SamplingConfig,
        amateur: Any = None,
        keep_end: bool = False,
    ) -> list[list[int]]:
        tokenizer = self.tokenizer

        def answer(rows: list[int]) -> list[list[int]]:
            return generate(
                model,
                [prompts[row] for row in rows],
                sampling,
                tokenizer.stop_ids,
                tokenizer.pad_id,
                decode=tokenizer.decode,
                amateur=amateur,
                keep_end=keep_end,
            )

        with computing(model, self.device, self.precision):
            return distributed.divided([tuple(prompt) for prompt in prompts], answer)

    @contextmanager
    def _start_beside(self, policy: Policy) -> Iterator[Any]:
        """The start model, to be computed by turns with the policy."""
        start = self.start.model
        if start is policy.language_model:  # with adapters, which are switched off for its turns
            yield ScopedPolicy(policy, self.start.active)
        else:
            with self.start.active(), computing(start, self.device, self.precision):
                yield start

    def _score_samples(self, policy: Policy) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """Answers to the fixed prompts at temperature 1: their lengths, scores and the KL."""
        rendered = self._render(self.prompts)
        drawn = self._generate(policy, rendered, self.sampling, keep_end=True)
        answers = [Stops(self.tokenizer.stop_ids).without_end(ids) for ids in drawn]
        texts = [self.tokenizer.decode(ids) for ids in answers]
        metrics = {"samples/length": sum(map(len, answers)) / len(answers)}
        metrics |= self._kl(policy, rendered, drawn) if self.beside else {}
        if self.scores:
            scored = [self.scores(p.prompt, t) for p, t in zip(self.prompts, texts, strict=True)]
            for name in scored[0]:
                metrics[f"samples/{name}"] = sum(s[name] for s in scored) / len(scored)
        return metrics, self.sample(policy, self.prompts[:SHOWN], self.shown, self.beside)

    def _kl(
        self, policy: Policy, prompts: list[list[int]], drawn: list[list[int]]
    ) -> dict[str, float]:
        """KL to the start model and its standard error: from the next-token distributions along
        the answers, end tokens included, and as `_sampled` from their log-ratios."""
        sequences = list(zip(prompts, drawn, strict=True))

        def compare(rows: list[int]) -> list[list[float]]:
            chosen = [sequences[row] for row in rows]
            batch = collate_sequences(chosen, self.tokenizer.pad_id).to(self.device)
            sums = policy.kernels.scored_kl(policy, start, batch).sums(batch.sequences)
            return torch.stack(sums, 1).tolist()

        with computing(policy, self.device, self.precision), self._start_beside(policy) as start:
            found_sums = torch.tensor(distributed.divided(range(len(sequences)), compare))
        kl, ours, theirs = found_sums.unbind(1)
        estimates = {"": mean_and_error(kl), "_sampled": sampled_kl(ours, theirs)}
        found = {}
        for kind, (mean, error) in estimates.items():
            found[f"kl/policy_reference{kind}"] = mean
            if not math.isnan(error):
                found[f"kl/policy_reference{kind}_se"] = error
        return found
