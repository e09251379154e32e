"""How fast PPO, GRPO and best-of-n write, and where the time of their runs goes.

    python -m benchmarks.rollouts [--rounds N] [--results FOLDER]

A round is a rollout: completions are written, scored and trained on. In every round the policy as
it stands also answers the same prompts by plain `generate`, before the rollout or after it, at
random; the tokens are the same, because the seed is. The first round is thrown away.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import workbench.__main__  # noqa: F401  sets what it wants of the environment; before torch
from benchmarks.report import own_process, save, show
from benchmarks.side_by_side import spread
from workbench.core.policy import Policy
from workbench.core.rollouts import Rollout
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.runs.prepare import prepare
from workbench.train.config import TrainConfig
from workbench.train.loop import fit
from workbench.train.precision import computing
from workbench.train.rollouts.rollout_batches import RolloutBatches

METHODS = ("ppo", "grpo", "best_of_n")
MODELS: dict[str, dict[str, Any]] = {
    "tiny": {"model": "tiny"},
    "smollm2": {"model": "smollm2", "data": "assistant", "reward": "polite", "rollout_size": 16},
}
ROUNDS = {"tiny": 40, "smollm2": 8}
PARTS = ("writing", "reward", "logps", "updates")


@dataclass
class TimedBatches(RolloutBatches):
    """Rollouts whose parts are timed, and plain `generate` beside each of them.

    Attributes:
        seconds: of each round, by part and for `plain`.
        tokens: drawn in each round, end tokens included.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tokens: list[int] = field(default_factory=list)
    order: random.Random = field(default_factory=lambda: random.Random(0))
    written: float = 0.0  # when the last rollout was

    @classmethod
    def of(cls, batches: RolloutBatches) -> TimedBatches:
        """The same source, timed."""
        timed = cls(**{part.name: getattr(batches, part.name) for part in fields(batches)})
        reward = timed.reward
        assert reward is not None

        def timed_reward(*texts: Any) -> Any:
            with timed.clock("reward"):
                return reward(*texts)

        timed.reward = timed_reward
        return timed

    @contextmanager
    def clock(self, part: str) -> Iterator[None]:
        """Adds what is done within to the list of a part."""
        begin = time.perf_counter()
        yield
        self.seconds[part].append(time.perf_counter() - begin)

    def _write(self, policy: Policy) -> Rollout:
        if self.tokens:
            self.stop_updates()
        before = self.order.random() < 0.5
        if before:
            self._plain(policy)
        begin = time.perf_counter()
        rollout = super()._write(policy)
        took = time.perf_counter() - begin
        scoring = self.seconds["reward"][-1] + self.seconds["logps"][-1]
        self.seconds["writing"].append(took - scoring)
        self.tokens.append(int(rollout.lengths.sum()))
        if not before:
            self._plain(policy)
        self.written = time.perf_counter()
        return rollout

    def stop_updates(self) -> None:
        """The last rollout has been trained on."""
        self.seconds["updates"].append(time.perf_counter() - self.written)

    def _measured(self, policy: Policy, sequences: Any) -> dict[str, Any]:
        with self.clock("logps"):
            return super()._measured(policy, sequences)

    def _plain(self, policy: Policy) -> None:
        """The completions of this rollout, written by nothing but `generate`."""
        group = self.config.group_size or 1
        prompts = [self.items[row].prompt for row in self._prompts() for _ in range(group)]
        config, tokenizer = self.config, self.tokenizer
        sampling = SamplingConfig(
            max_new_tokens=config.max_new_tokens or 40, seed=self._seed(self.number)
        )
        with self.clock("plain"), computing(policy, config.device, config.precision):
            generate(policy, prompts, sampling, tokenizer.stop_ids, tokenizer.pad_id, keep_end=True)


def timed(model: str, method: str, rounds: int) -> TimedBatches:
    """Rounds of a run of its own, and one that warms up."""
    settings = {"method": method, "held_out": 0, "samples": 0, "eval_every": 0, "max_steps": 10**6}
    parts = prepare(TrainConfig(**settings, **MODELS[model]))
    assert isinstance(parts.batches, RolloutBatches)
    batches = TimedBatches.of(parts.batches)
    events = fit(
        parts.model.policy, batches, parts.config, method=parts.method, reference=parts.reference
    )
    for event in events:
        if event.step == (rounds + 1) * batches.steps_per_rollout:
            break
    batches.stop_updates()
    return batches


def row(model: str, method: str, batches: TimedBatches) -> dict[str, Any]:
    """Medians and quartiles over the rounds that count."""
    seconds = {part: values[1:] for part, values in batches.seconds.items()}
    tokens = batches.tokens[1:]
    both = zip(seconds["plain"], seconds["writing"], strict=True)
    ratio = spread([plain / own for plain, own in both])
    whole = [sum(found) for found in zip(*(seconds[part] for part in PARTS), strict=True)]
    return {
        "model": model,
        "method": method,
        **{
            name: spread([n / s for n, s in zip(tokens, seconds[part], strict=True)]).middle
            for name, part in {"tokens/s": "writing", "plain tokens/s": "plain"}.items()
        },
        "ratio": ratio.middle,
        "ratio_q1": ratio.low,
        "ratio_q3": ratio.high,
        **{part: sum(seconds[part]) / sum(whole) for part in PARTS},
        "seconds a rollout": spread(whole).middle,
        "completions": batches.config.rollout_size,
        "precision": batches.config.precision,
        "rounds": len(whole),
    }


def main() -> None:
    """Measure, print and write the table."""
    import pandas as pd

    given = own_process(__doc__, rounds=0)
    rows = [
        row(model, method, timed(model, method, given.rounds or ROUNDS[model]))
        for model in MODELS
        for method in METHODS
    ]
    frame = pd.DataFrame(rows)
    show("Rollouts beside plain generate, and shares of a run's time", frame)
    save(frame, given.results, "rollouts")


if __name__ == "__main__":
    main()
