"""The batches of PPO, GRPO and best-of-n: the policy writes, the reward scores, the loop trains.

A rollout is trained on in several steps, then the policy, as it is by then, writes the next one.
All random numbers come from the run's seed and the number of the rollout; and a saved state holds
the rollout itself, so that an interrupted run goes on bit for bit from within one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from workbench.core.batch import Completion, SequenceBatch
from workbench.core.policy import Policy
from workbench.core.rollouts import Rollout, RolloutBatch, Sequences
from workbench.data.completions import TextCompletion
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.generation.stops import Stops
from workbench.train import distributed
from workbench.train.batches import ShuffledBatches
from workbench.train.config import TrainConfig
from workbench.train.precision import computing
from workbench.train.reference.live import LiveReference
from workbench.train.rollouts.reward_function import Reward, require_signal, scored
from workbench.train.rollouts.rollout_method import RolloutMethod
from workbench.train.rollouts.rollout_tables import measured

TABLES = ("prompts", "groups", "scores", "policy_logps", "reference_logps", "values")
MOST_CHANGE, GAIN = 0.2, 0.1  # of the KL penalty's controller (Ziegler et al. 2019, section 2.2)


@dataclass
class RolloutBatches:
    """A `BatchSource`; an epoch is as many rollouts as give every prompt a turn.

    Attributes:
        items, texts: prompts, as token ids and as text.
        config: resolved.
        reference: what the KL is measured to.
        reward: what scores completions; None for a run that was opened to be looked at.
        max_length: of a sequence.
        whole: what writes and is measured, where the policy is sharded.
    """

    items: Sequence[Completion]
    texts: Sequence[TextCompletion]
    method: RolloutMethod
    config: TrainConfig
    tokenizer: Tokenizer
    reference: LiveReference
    reward: Reward | None
    max_length: int
    whole: distributed.Whole[Policy] | None = None
    number: int = 0  # of rollouts so far
    scale: float = 1.0  # of the KL penalty
    _rollout: Rollout | None = None
    _batches: ShuffledBatches[int] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        size, group = self._sizes()
        if size % group:
            raise WorkbenchError(
                f"rollout_size={size} is not a multiple of group_size={group}; accepted: one"
            )
        if group < 2 and self.method.grouped:
            raise WorkbenchError(
                f"group_size={group} is not accepted: {self.method.name} compares a prompt's "
                "completions; at least two are needed"
            )
        if (prompts := size // group) < (processes := distributed.world_size()):
            raise WorkbenchError(
                f"{processes} processes are more than the {prompts} prompts of a rollout "
                f"(rollout_size={size}, group_size={group}); start fewer, or take larger rollouts"
            )
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __len__(self) -> int:
        size, group = self._sizes()
        return -(-len(self.items) * group // size) * self.steps_per_rollout

    @property
    def steps_per_rollout(self) -> int:
        """Optimiser steps on one rollout."""
        trained = self.method.kept_of(*self._sizes())
        forward = -(-trained // (self.config.batch_size or 1))
        return -(-forward // self.config.accumulate) * (self.config.rollout_epochs or 1)

    def next(self, policy: nn.Module) -> list[SequenceBatch]:
        """See `BatchSource`."""
        if self._batches is None or self._batches.step == self.steps_per_rollout:
            plain: Any = nullcontext(distributed.unwrap(policy))
            with self.whole.put_together() if self.whole else plain as writer:
                self._begin(self._write(writer), self.number)
            self.number += 1
        assert self._batches is not None
        return self._batches.next(policy)

    def state_dict(self) -> dict[str, Any]:
        """See `BatchSource`; the rollout that is being trained on is part of it."""
        if self._rollout is None or self._batches is None:
            return {"number": self.number}
        rollout = self._rollout
        tables = {name: getattr(rollout, name) for name in TABLES}
        return {
            "number": self.number,
            "scale": self.scale,
            "step": self._batches.step,
            "sequences": [[list(part) for part in one] for one in rollout.sequences],
            "beta_scale": rollout.beta_scale,
            "tables": {name: None if t is None else t.tolist() for name, t in tables.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `BatchSource`."""
        self.number, self.scale = state["number"], state.get("scale", 1.0)
        self._rollout = self._batches = None
        if "sequences" not in state:
            return
        sequences = [(tuple(prompt), tuple(answer)) for prompt, answer in state["sequences"]]
        device = self.config.device
        tables: dict[str, Any] = {
            name: None if values is None else torch.tensor(values, device=device)
            for name, values in state["tables"].items()
        }
        mask = _mask(sequences, device)
        rollout = Rollout(sequences, mask=mask, beta_scale=state["beta_scale"], **tables)
        self._begin(rollout, self.number - 1)
        assert self._batches is not None
        self._batches.step = state["step"]

    def fork(self) -> Self:
        """See `BatchSource`."""
        other = copy.copy(self)
        other._batches = self._batches and self._batches.fork()
        return other

    # -- writing ------------------------------------------------------------------------------

    def _sizes(self) -> tuple[int, int]:
        return self.config.rollout_size or 1, self.config.group_size or 1

    def _seed(self, number: int) -> int:
        return (self.config.seed * 1_000_003 + number) % 2**31

    def _shuffled(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(self._seed(epoch))
        return torch.randperm(len(self.items), generator=generator).tolist()

    def _prompts(self) -> list[int]:
        """Indices of the next prompts, each once per epoch."""
        size, group = self._sizes()
        count, all_items = size // group, len(self.items)
        turns = range(self.number * count, (self.number + 1) * count)
        return [self._order(turn // all_items)[turn % all_items] for turn in turns]

    def _write(self, policy: Policy) -> Rollout:
        """Completions of the next prompts, scored and measured."""
        if self.reward is None:
            raise WorkbenchError(
                "this run's reward is a Python function: give it again as `reward`"
            )
        group, chosen, device = self._sizes()[1], self._prompts(), self.config.device
        rows = [index for index in chosen for _ in range(group)]
        prompts = [self.items[row].prompt for row in rows]
        sampling = SamplingConfig(
            max_new_tokens=self.config.max_new_tokens or 40, seed=self._seed(self.number)
        )
        tokenizer = self.tokenizer

        def write(own: list[int]) -> list[list[int]]:
            asked = [prompts[row] for row in own]
            return generate(
                policy, asked, sampling, tokenizer.stop_ids, tokenizer.pad_id, keep_end=True
            )

        with computing(policy, self.config.device, self.config.precision):
            drawn = distributed.divided([tuple(prompt) for prompt in prompts], write)
        # As drawn: an answer that was cut has no end token, and one that ended has its own.
        sequences = [
            (prompt, ids[: self.max_length - len(prompt)])
            for prompt, ids in zip(prompts, drawn, strict=True)
        ]
        stops = Stops(tokenizer.stop_ids)
        texts = [tokenizer.decode(stops.without_end(ids)) for _, ids in sequences]
        scores = distributed.divided(range(len(rows)), partial(self._scored, rows, texts))
        if self.number == 0:
            require_signal(self.reward, scores)
        found = self._measured(policy, sequences)
        groups = torch.arange(len(chosen), device=device).repeat_interleave(group)
        return Rollout(
            sequences,
            torch.tensor(rows, device=device),
            groups,
            torch.tensor(scores, dtype=torch.float32, device=device),
            _mask(sequences, device),
            beta_scale=self._next_scale(found),
            **found,
        )

    def _scored(self, rows: list[int], texts: list[str], own: list[int]) -> list[float]:
        """The reward of some of the texts, whose prompts have the numbers `rows`."""
        assert self.reward is not None
        prompts = [self.texts[rows[number]].prompt for number in own]
        return scored(self.reward, prompts, [texts[number] for number in own])

    def _measured(self, policy: Policy, sequences: Sequences) -> dict[str, Any]:
        by = policy, self.reference, self.method, self.config, self.tokenizer.pad_id
        return measured(sequences, *by)

    def _next_scale(self, found: dict[str, Any]) -> float:
        """The factor of the KL penalty for this rollout; the next one's follows from its KL."""
        now, target = self.scale, self.config.kl_target
        if target:
            kl = float((found["policy_logps"] - found["reference_logps"]).sum(1).mean())
            change = min(max(kl / target - 1, -MOST_CHANGE), MOST_CHANGE)
            self.scale *= 1 + GAIN * change
        return now

    # -- training -----------------------------------------------------------------------------

    def _begin(self, rollout: Rollout, number: int) -> None:
        """Batches of a rollout's completions, in an order of its own in each of its epochs."""
        config = self.config
        lengths = [len(prompt) + len(completion) for prompt, completion in rollout.sequences]

        def build(rows: list[int], _: list[int]) -> SequenceBatch:
            layout = config.layout or "stacked"
            return RolloutBatch.of(rollout, rows, self.tokenizer.pad_id, layout)

        self._rollout = rollout
        self._batches = ShuffledBatches(
            self.method.kept(rollout), lengths.__getitem__, build, config.batch_size or 1,
            config.accumulate, self._seed(number),
            config.max_tokens or 0, config.layout != "packed", bucket=False,
        )  # fmt: skip


def _mask(sequences: Any, device: str) -> Tensor:
    lengths = torch.tensor([len(completion) for _, completion in sequences], device=device)
    return torch.arange(int(lengths.max()), device=device) < lengths[:, None]
