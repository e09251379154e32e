"""What can be combined with a loss on pairs: other divergences, other weights.

Each changes what the loss reads, or weighs what it gives; where one is not defined for a loss it is
refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.core.losses.inputs import PairLogps
from workbench.core.losses.parameter import Parameter

if TYPE_CHECKING:
    from torch import Tensor

DIVERGENCES = ("reverse_kl", "forward_kl", "jensen_shannon", "alpha")
LARGEST = 80.0  # exponent; beyond it float32 has no number


@dataclass(frozen=True)
class Modifier(Parameter):
    """A setting that combines with every loss for which it is defined.

    Attributes:
        neutral: the value at which it changes nothing.
        needs: what a loss lacks that does not take it.
        source: paper and equation.
        change: (logps, parameters) -> what the loss reads instead.
    """

    neutral: Any = None
    needs: str = ""
    source: str = ""
    change: Callable[[PairLogps, Mapping[str, Any]], PairLogps] | None = None

    def check(self, name: str, value: object, default: object = None) -> None:
        """Raise WorkbenchError for a value that is none."""
        super().check(name, value, self.neutral)


def divergence_scores(logratios: Tensor, divergence: str, alpha: float = 0.5) -> Tensor:
    """f'(policy / reference) of each log-ratio, up to a constant, which no margin sees.

    `reverse_kl` the log-ratio r itself, `forward_kl` -exp(-r), `jensen_shannon` log sigmoid(r),
    `alpha` exp((alpha - 1) r) / (alpha - 1), which at alpha 1 is the log-ratio again (Wang et al.
    2023, Beyond reverse KL, table 1). The constant of `alpha` is kept, so that the limit is smooth.
    Exponents stop at 80.
    """
    import torch  # here, so that the names load no torch

    if divergence == "forward_kl":
        return -(-logratios).clamp(max=LARGEST).exp()
    if divergence == "jensen_shannon":
        return torch.nn.functional.logsigmoid(logratios)
    if divergence == "alpha" and alpha != 1:
        return ((alpha - 1) * logratios).clamp(max=LARGEST).expm1() / (alpha - 1)
    return logratios


def _in_divergence(logps: PairLogps, parameters: Mapping[str, Any]) -> PairLogps:
    """The scores of the divergence in the place of log-ratios."""
    kind = parameters["divergence"], parameters.get("divergence_alpha", 0.5)
    chosen = divergence_scores(logps.chosen_logratios, *kind)
    rejected = divergence_scores(logps.rejected_logratios, *kind)
    return replace(
        logps,
        policy_chosen=chosen,
        policy_rejected=rejected,
        reference_chosen=chosen.new_zeros(()),
        reference_rejected=rejected.new_zeros(()),
    )


def _discounted(logps: PairLogps, parameters: Mapping[str, Any]) -> PairLogps:
    """Tokens beyond the shorter completion's length count `ld_alpha`, in policy and reference."""
    return logps.minus((1 - parameters["ld_alpha"]), logps.given("beyond"))


MODIFIERS = {
    # Before the divergence: the log-ratio that it scores is the discounted one.
    "ld_alpha": Modifier(
        "weight of the tokens beyond the length of the shorter completion",
        0.0,
        1.0,
        neutral=1.0,
        needs="it does not compare sums over tokens with a reference",
        source="Liu et al. 2024, Length desensitization in DPO (LD-DPO)",
        change=_discounted,
    ),
    "divergence": Modifier(
        "divergence from the reference in the place of the reverse KL",
        choices=DIVERGENCES,
        neutral="reverse_kl",
        needs="it does not depend on the margin of two log-ratios alone",
        source="Wang et al. 2023, Beyond reverse KL (f-DPO), table 1",
        change=_in_divergence,
    ),
    "divergence_alpha": Modifier(
        "alpha of the divergence `alpha`; 0 to 1 lies between forward and reverse KL",
        -2.0,
        3.0,
        neutral=0.5,
        needs="it takes no divergence",
        source="Wang et al. 2023, table 1",
    ),
    "wpo": Modifier(
        "weigh each pair by how likely its tokens are to the policy, one more forward pass",
        neutral=False,
        needs="a value of it does not belong to one pair",
        source="Zhou et al. 2024 (WPO), eq. 2",
    ),
}
