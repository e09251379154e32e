"""The events of a run. The loop yields them; its caller prints, plots or stores them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One prompt answered by reference and policy with the same seed.

    Attributes:
        reference: None where the run makes no texts of the model before it.
        reference_cut, policy_cut: tokens at which the answer was cut off; 0: it ran to its end.
        drawn: how both were drawn, in words.
    """

    prompt: str
    reference: str | None
    policy: str
    seed: int
    reference_cut: int = 0
    policy_cut: int = 0
    drawn: str = ""

    @property
    def texts(self) -> dict[str, str]:
        """The texts that were made, by the model that wrote them."""
        made = {"reference": self.reference, "policy": self.policy}
        return {who: text for who, text in made.items() if text is not None}


@dataclass(frozen=True)
class StepEvent:
    """One optimiser step was taken; `step` counts them from 1, `total` is how many there will be.

    `metrics` has the keys of `pair_metrics` (means over the step's pairs), `grad_norm` before
    clipping, `lr`, `beta` and `pairs_per_second` since the run began, evaluation left out.
    """

    step: int
    total: int
    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class EvalEvent:
    """The held-out pairs were scored and the prompts sampled; keys begin with `held_out/`."""

    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class SampleEvent:
    """Texts of policy and reference at this step."""

    step: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class ChangeEvent:
    """A live setting was changed; the new value holds from the next step on."""

    step: int
    name: str
    value: float | str


@dataclass(frozen=True)
class CheckpointEvent:
    """Everything up to this step is on disk."""

    step: int
    folder: str


@dataclass(frozen=True)
class EndEvent:
    """The run is over: "finished" or "stopped"."""

    step: int
    reason: str


Event = StepEvent | EvalEvent | SampleEvent | ChangeEvent | CheckpointEvent | EndEvent
_KINDS: dict[str, type] = {
    kind.__name__.removesuffix("Event").lower(): kind
    for kind in (StepEvent, EvalEvent, SampleEvent, ChangeEvent, CheckpointEvent, EndEvent)
}


def event_to_dict(event: Event) -> dict[str, Any]:
    """A JSON-ready form with the kind under `event`."""
    return {"event": type(event).__name__.removesuffix("Event").lower(), **asdict(event)}


def event_from_dict(values: dict[str, Any]) -> Event:
    """The inverse of `event_to_dict`."""
    values = dict(values)
    kind = _KINDS[values.pop("event")]
    if kind is SampleEvent:
        values["samples"] = tuple(Sample(**sample) for sample in values["samples"])
    return kind(**values)
