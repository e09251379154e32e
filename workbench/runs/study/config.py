"""How a sweep searches."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from workbench.errors import WorkbenchError
from workbench.train.config import check_field, setting

Direction: TypeAlias = Literal["minimize", "maximize"]
TRIALS = 20
PREFIX = "held_out/"
KL = "held_out/kl/policy_reference"
# Held-out metrics of which more is better, or less; those between the two have no direction.
MAXIMIZE = (
    "rewards/accuracies", "rewards/margins", "rewards/chosen", "samples/reward",
    "samples/parsed_reward", "samples/grammatical", "samples/score",
)  # fmt: skip
MINIMIZE = ("loss", "kl/policy_reference", "kl/policy_reference_sampled")


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What a sweep looks for, and by which means."""

    sampler: str = setting(
        "grid", "grid: every combination; random, tpe (Tree-structured Parzen Estimator): some",
        choices=("grid", "random", "tpe"),
    )  # fmt: skip
    trials: int | None = setting(
        None, f"combinations that random and tpe try; left open: {TRIALS}", 1, 10_000
    )
    seeds: int = setting(1, "runs of each combination, with seeds from --seed on", 1, 10_000)
    metric: str | None = setting(
        None, "held-out metric by which runs are told apart, as held_out/rewards/accuracies; left "
        "open: held_out/samples/parsed_reward (reviews), else held_out/rewards/accuracies",
    )  # fmt: skip
    direction: str | None = setting(
        None, "whether more of the metric is better; left open: known for the usual metrics",
        choices=("maximize", "minimize"),
    )  # fmt: skip
    prune: str = setting(
        "none", "stop runs early that fall behind: those below the median, or by successive "
        "halving", choices=("none", "median", "halving"),
    )  # fmt: skip
    kl_limit: float | None = setting(
        None, "most KL to the reference at a run's end, nats; runs beyond it are not taken", 0, 1e6
    )
    pareto: bool = setting(False, "KL is a second goal: the less the better")

    def __post_init__(self) -> None:
        for part in fields(StudyConfig):
            if (value := getattr(self, part.name)) is not None or part.default is not None:
                check_field(part, value)
        if self.trials is not None and self.sampler == "grid":
            raise WorkbenchError("trials is for sampler=random or tpe; a grid has its own number")
        if self.pareto and self.prune != "none":
            raise WorkbenchError("prune and pareto are both given; accepted: one of the two")

    def resolved_metric(self, data: str) -> str:
        """The metric's name, with its prefix."""
        if self.metric is not None:
            return PREFIX + self.metric.removeprefix(PREFIX)
        known = "samples/parsed_reward" if data == "reviews" else "rewards/accuracies"
        return PREFIX + known

    def directions(self, data: str) -> list[Direction]:
        """Of the metric and, where it is a second goal, of the KL."""
        metric = self.resolved_metric(data)
        name = metric.removeprefix(PREFIX)
        known: dict[str, Direction] = dict.fromkeys(MAXIMIZE, "maximize")
        known |= dict.fromkeys(MINIMIZE, "minimize")
        if self.direction is not None:
            known[name] = "minimize" if self.direction == "minimize" else "maximize"
        if name not in known:
            raise WorkbenchError(
                f"metric={metric!r} has no direction of its own; give direction, maximize or "
                "minimize"
            )
        return [known[name], "minimize"] if self.pareto else [known[name]]
