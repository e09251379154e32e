"""What PPO, GRPO and best-of-n have in common: prompts as data, completions by the policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from workbench.core.batch import Completion, SequenceBatch
from workbench.core.collation import collate_completions
from workbench.core.logps import ScoredLogps
from workbench.core.policy_gradient import is_clipped
from workbench.core.rollouts import Rollout, RolloutBatch, RolloutLogps
from workbench.data.completions import TextCompletion
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source
from workbench.data.pairs import ReadRows, TextPair
from workbench.data.prompts import distinct, encode_prompts, read_prompts
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.train.method import Encoded, Method, Outcome, Reference, Settings


class RolloutMethod(Method[Completion]):
    """One row is a prompt; `name` is that of its one loss.

    Attributes:
        grouped: whether a prompt's completions are compared with each other; it needs two then.
    """

    noun = "prompts"
    completions = 1
    rollouts = True
    grouped = True

    def read(self, source: Source, reading: Reading | str | None = None) -> ReadRows:
        return read_prompts(source, reading)

    def from_pairs(self, pairs: Sequence[TextPair]) -> list[TextCompletion]:
        return distinct(TextCompletion.of(pair, True) for pair in pairs)

    def encode(
        self, texts: Sequence[TextCompletion], tokenizer: Tokenizer, max_length: int
    ) -> Encoded[Completion]:
        return Encoded(*encode_prompts(texts, tokenizer, max_length), [])

    def columns(self, text: TextCompletion) -> dict[str, Any]:
        return {"prompt": text.prompt}

    def size(self, item: Completion) -> int:
        return len(item.prompt)

    def collate(
        self, items: Sequence[Completion], pad_id: int, layout: str, index: Sequence[int]
    ) -> SequenceBatch:
        return collate_completions(items, pad_id, layout, index)

    def scored(self, policy: nn.Module, batch: SequenceBatch) -> tuple[ScoredLogps, Tensor | None]:
        """Log-probabilities and, with a value head, values, by one forward pass."""
        return policy(batch), None

    def kept(self, rollout: Rollout) -> list[int]:
        """The completions that are trained on; as a rule all."""
        return list(range(len(rollout.sequences)))

    def kept_of(self, size: int, group: int) -> int:
        """How many `kept` are of a rollout of this size, in groups of this size."""
        return size

    def losses(
        self,
        policy: nn.Module,
        batch: SequenceBatch,
        settings: Settings,
        reference: Reference | None = None,
        statistics: Any = None,
    ) -> Outcome:
        if not isinstance(batch, RolloutBatch):
            raise WorkbenchError(f"method {self.name} is trained on rollouts, not on fixed batches")
        loss, (scored, values) = self.loss(settings), self.scored(policy, batch)
        logps = RolloutLogps.of(batch, scored, values)
        parameters = loss.pick(settings)
        found = loss(logps, **parameters)
        return Outcome(found, self.metrics(logps, parameters, found))

    def metrics(
        self, logps: RolloutLogps, parameters: dict[str, Any], losses: Tensor
    ) -> dict[str, Tensor]:
        """(item,) each: `scores` of the reward, `kl/rollout` the log-ratio to the reference of the
        policy that wrote, `entropy` its mean -log p per token, `lengths/completion`, `loss`."""
        rollout, rows, lengths = logps.rollout, logps.rows, logps.lengths
        written = rollout.policy_logps[rows].masked_fill(~rollout.mask[rows], 0.0).sum(1)
        found = {
            "scores": rollout.scores[rows],
            "kl/rollout": rollout.kl[rows],
            "entropy": -written / lengths,
            "lengths/completion": lengths.float(),
            "loss": losses.detach() / self._divisors(lengths),
        }
        if "beta" in parameters:
            penalty = rollout.beta_scale * parameters["beta"]
            found["kl_penalty"] = losses.new_full(losses.shape, penalty).detach()
        return found

    def _divisors(self, lengths: Tensor) -> Tensor:
        """(item,) what an item counts in the step's mean."""
        return lengths

    def weights(self, batch: SequenceBatch) -> Tensor:
        return self._divisors(batch.lengths())


def clip_fraction(logps: RolloutLogps, advantages: Tensor, clip: float) -> Tensor:
    """(item,) share of tokens whose gradient the clip has ended; `advantages` (scored,)."""
    old = logps.at(logps.rollout.policy_logps)
    stopped = is_clipped(logps.policy.detach(), old, advantages, clip)
    return logps.sums(stopped.float()) / logps.lengths
