"""The settings of sampling; reading them loads no torch."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

from workbench.errors import WorkbenchError


def _setting(default: float, help: str, low: float, high: float) -> Any:
    return field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True)
class SamplingConfig:
    """How tokens are chosen. Bounds are inclusive; a value outside raises WorkbenchError."""

    temperature: float = _setting(1.0, "divides the logits; 0: the likeliest token", 0.0, 5.0)
    top_k: int = _setting(0, "keep this many likeliest tokens; 0: all", 0, 1_000_000)
    top_p: float = _setting(1.0, "keep the likeliest tokens up to this probability", 0.001, 1.0)
    min_p: float = _setting(0.0, "keep tokens this likely relative to the likeliest", 0.0, 1.0)
    max_new_tokens: int = _setting(48, "longest completion, tokens", 1, 4096)
    seed: int = _setting(0, "of the draws; the same seed gives the same text", 0, 2**31 - 1)

    def __post_init__(self) -> None:
        for part in fields(self):
            _check(part, getattr(self, part.name))


def _check(part: Field[Any], value: Any) -> None:
    low, high = part.metadata["low"], part.metadata["high"]
    kind = int if isinstance(part.default, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        number = "a whole number" if kind is int else "a number"
        raise WorkbenchError(
            f"{part.name}={value!r} is not accepted: {number} from {low:g} to {high:g}"
        )
