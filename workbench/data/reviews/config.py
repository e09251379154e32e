"""The settings of the embedded world; reading them loads neither torch nor a tokenizer."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from workbench.data.reviews import grammar
from workbench.errors import WorkbenchError


def _knob(default: float, low: float, high: float, help: str) -> Any:
    return field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True)
class ReviewsConfig:
    """The knobs of the reviews world. A value outside its range raises WorkbenchError."""

    topics: int = _knob(12, 2, len(grammar.TOPICS), "how many topics the reviews are about")
    pairs: int = _knob(2048, 1, 100_000, "how many preference pairs are labelled")
    label_noise: float = _knob(0.0, 0.0, 0.5, "probability that a label is flipped")
    label_scale: float = _knob(
        4.0,
        0.0,
        math.inf,
        "sharpness of the labels: P(a over b) = sigma(scale * (r_a - r_b)); 0: random labels, "
        "inf: the better side always wins",
    )
    length_bias: float = _knob(
        0.0, 0.0, 1.0, "share of pairs sampled again until the chosen side is the longer one"
    )
    similarity: float = _knob(
        0.0, 0.0, 1.0, "share of pairs whose sides differ in one sentiment word only"
    )
    world_seed: int = _knob(0, 0, 2**31 - 1, "seed of the world's texts and labels")

    def __post_init__(self) -> None:
        for knob in fields(self):
            value, low, high = getattr(self, knob.name), knob.metadata["low"], knob.metadata["high"]
            if not low <= value <= high:
                raise WorkbenchError(f"{knob.name} is {value}: give a value from {low} to {high}")
