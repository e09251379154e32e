"""Which run of a sweep has which settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs.study.axes import Axes, Range
from workbench.runs.study.config import TRIALS, StudyConfig
from workbench.runs.sweep import OF_THE_LOOP, WORLD
from workbench.train.config import TrainConfig
from workbench.train.method import find_method

MOST = 10_000  # runs of a sweep
NAME = 100  # characters of a folder's name


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep, counted from 0.

    Attributes:
        config: what they have in common; `out` is the sweep's folder.
        axes: the settings that are swept, without the seed.
        seeds: of each combination's runs.
    """

    config: TrainConfig
    axes: Axes
    seeds: tuple[int, ...]
    study: StudyConfig

    @classmethod
    def of(cls, config: TrainConfig, axes: Axes, study: StudyConfig) -> Plan:
        """Check all that can be known before anything is trained.

        Raises:
            WorkbenchError: a value that no combination takes, a range in a grid, too many runs.
        """
        axes = dict(axes)
        seeds = axes.pop("seed", None)
        if seeds is not None and (study.seeds > 1 or isinstance(seeds, Range)):
            raise WorkbenchError("seed is swept by the number seeds, or by a list in over")
        seeds = seeds or tuple(range(config.seed, config.seed + study.seeds))
        for name, values in axes.items():
            if isinstance(values, Range) and study.sampler == "grid":
                raise WorkbenchError(
                    f"over {name}={values} is a range; sampler=random or tpe draws from one"
                )
        plan = cls(config, axes, tuple(seeds), study)
        study.directions(config.data)
        if study.prune != "none" and config.resolved().eval_every == 0:
            raise WorkbenchError(
                f"prune={study.prune!r} needs eval_every, as runs are told apart then"
            )
        if plan.total > MOST:
            raise WorkbenchError(f"these are {plan.total:,} runs; a sweep takes up to {MOST:,}")
        plan._check_values()
        return plan

    @property
    def total(self) -> int:
        """Runs in all."""
        grid = prod(len(values) for values in self.axes.values())
        return len(self.seeds) * (
            grid if self.study.sampler == "grid" else self.study.trials or TRIALS
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The settings in which runs differ."""
        return (*self.axes, "seed")

    @property
    def alike(self) -> bool:
        """Whether all runs have the same model, data and evaluation, up to the seed."""
        return all(name in OF_THE_LOOP and name != "loss" for name in self.axes)

    def seed(self, number: int) -> int:
        """Of a run. A grid goes through all combinations before the next seed, because runs of one
        seed share their data; a sampler has one combination after the other."""
        if self.study.sampler == "grid":
            return self.seeds[number // (self.total // len(self.seeds))]
        return self.seeds[number % len(self.seeds)]

    def combination(self, number: int) -> dict[str, Any] | None:
        """The swept settings of a run of a grid; None where a sampler draws them."""
        if self.study.sampler != "grid":
            return None
        # What runs can't share changes as seldom as possible.
        order = sorted(self.axes, key=lambda name: (name in OF_THE_LOOP, name != "loss"))
        every = product(*(self.axes[name] for name in order))
        within = number % (self.total // len(self.seeds))
        return dict(zip(order, next(islice(every, within, None)), strict=True))

    def first_of(self, number: int) -> int:
        """The run whose combination this run of a sampler repeats with another seed."""
        return number - number % len(self.seeds)

    def settings(self, number: int, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """In the order of the flags, the seed last."""
        return {**{name: drawn[name] for name in self.axes}, "seed": self.seed(number)}

    def run_config(self, number: int, drawn: Mapping[str, Any]) -> TrainConfig:
        """Every setting of a run, its folder among them.

        Raises:
            WorkbenchError: they don't go together.
        """
        return replace(
            self._changed(self.settings(number, drawn)), out=str(self.folder(number, drawn))
        )

    def folder(self, number: int, drawn: Mapping[str, Any]) -> Path:
        """Named by the run's number and settings."""
        found = self.settings(number, drawn).items()
        told = ",".join(f"{name}={f'{v:.4g}' if isinstance(v, float) else v}" for name, v in found)
        name = f"{number:03d}-{re.sub(r'[^A-Za-z0-9_.,=*+-]', '-', told)[:NAME]}"
        return Path(str(self.config.out)) / name

    def _changed(self, settings: Mapping[str, Any]) -> TrainConfig:
        world = replace(self.config.world, **{k: v for k, v in settings.items() if k in WORLD})
        own = {name: value for name, value in settings.items() if name not in WORLD}
        return replace(self.config, world=world, **own)

    def _check_values(self) -> None:
        """Raise where a value is refused in every combination: it is a mistake, not a bad trial."""
        ends = {
            name: (values.low, values.high) if isinstance(values, Range) else values
            for name, values in self.axes.items()
        }
        for seed in self.seeds:
            replace(self.config, seed=seed)
        refused: dict[tuple[str, Any], WorkbenchError] = {}
        accepted: set[tuple[str, Any]] = set()
        for values in islice(product(*ends.values()), MOST):
            chosen = dict(zip(ends, values, strict=True))
            try:
                filled = self._changed({**chosen, "seed": self.seeds[0]}).resolved()
                find_method(str(filled.method)).check_batch_size(filled.batch_size or 1)
                accepted.update(chosen.items())
            except WorkbenchError as error:
                if not chosen:  # seeds alone are swept
                    raise
                for one in chosen.items():
                    refused.setdefault(one, error)
        for one, why in refused.items():
            if one not in accepted:
                raise why
