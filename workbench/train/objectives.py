"""What is minimised: batch -> one loss an item, and the metrics of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from workbench.core.batch import PreferenceBatch, SequenceBatch
from workbench.core.logps import completion_logps
from workbench.core.losses import LOSSES, PairLogps
from workbench.core.metrics import pair_metrics, reward_metrics
from workbench.core.transformer import Policy
from workbench.models.heads import RewardModel
from workbench.train.reference import Reference


@dataclass
class LiveSettings:
    """What may change while a run goes on."""

    loss: str = "dpo"
    beta: float = 0.1
    lr: float = 1e-4
    label_smoothing: float = 0.1
    normalize: bool = False


# (policy, batch, settings) -> losses (item,), metrics of (item,) each; the step takes their mean.
Objective = Callable[[Policy, SequenceBatch, LiveSettings], tuple[Tensor, dict[str, Tensor]]]


def preference(reference: Reference | None) -> Objective:
    """The loss of `settings` on pairs against `reference`."""

    def objective(
        policy: Policy, batch: SequenceBatch, settings: LiveSettings
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(batch, PreferenceBatch)
        logps = PairLogps.from_sequences(
            batch,
            completion_logps(policy, batch),
            None if reference is None else reference.logps(batch),
        )
        loss = LOSSES[settings.loss]
        losses = loss(logps, **loss.pick(asdict(settings)))
        return losses, pair_metrics(logps, settings.beta, losses)

    return objective


def sft(
    policy: Policy, batch: SequenceBatch, settings: LiveSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """Negative log-likelihood a token of the batch, told apart by completion.

    The mean over completions equals the mean over all scored tokens.
    """
    lengths = batch.lengths()
    losses = -completion_logps(policy, batch) * (batch.sequences / lengths.sum())
    return losses, {"loss": losses.detach(), "lengths/completion": lengths.float()}


def bradley_terry(
    model: Policy, batch: SequenceBatch, settings: LiveSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """-log sigmoid(r_w - r_l) of each pair, for a reward model (Ouyang et al. 2022, eq. 1).

    They rank several answers a prompt and take the mean over all pairs of them; here each pair
    stands for itself. No setting counts: beta belongs to the policy that is trained later.
    """
    assert isinstance(model, RewardModel)
    chosen, rejected = rearrange(model.rewards(batch), "(pair side) -> side pair", side=2)
    losses = -F.logsigmoid(chosen - rejected)
    return losses, reward_metrics(chosen, rejected, losses)
