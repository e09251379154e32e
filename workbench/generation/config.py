"""The settings of sampling; reading them loads no torch."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.errors import WorkbenchError
from workbench.generation.filters import FILTERS


def _setting(default: float, help: str, low: float, high: float) -> Any:
    return field(default=default, metadata={"help": help, "low": low, "high": high})


C = TypeVar("C", bound=type)


def _with_filters(cls: C) -> C:
    """Add a field for every filter, behind the temperature."""
    first, *others = cls.__annotations__.items()
    added = {}
    for name, entry in FILTERS.items():
        setattr(cls, name, _setting(entry.neutral, entry.help, entry.low, entry.high))
        added[name] = type(entry.neutral).__name__
    cls.__annotations__ = dict([first]) | added | dict(others)
    return cls


@dataclass(frozen=True)
@_with_filters
class SamplingConfig:
    """How tokens are chosen. Bounds are inclusive; a value outside raises WorkbenchError.

    `stop` also takes a list and keeps it as a tuple. Beam search ranks all tokens and samples none,
    so it needs temperature 0 and no filters.
    """

    temperature: float = _setting(1.0, "divides the logits; 0: the likeliest token", 0.0, 5.0)
    repetition_penalty: float = _setting(
        1.0,
        "divides positive logits of tokens already in the text, multiplies negative ones",
        0.1,
        10.0,
    )
    beams: int = _setting(1, "texts that beam search follows at once; 1: no beam search", 1, 64)
    contrast_alpha: float = _setting(
        0.0,
        "contrastive decoding: of tokens this likely relative to the likeliest, take those that "
        "gained most over the reference; 0: off",
        0.0,
        1.0,
    )
    if TYPE_CHECKING:  # the fields of the filters

        def __getattr__(self, name: str) -> Any: ...

    stop: tuple[str, ...] = field(
        default=(), metadata={"help": "stop strings: an answer ends before the first of them"}
    )
    max_new_tokens: int = _setting(48, "longest completion, tokens", 1, 4096)
    seed: int = _setting(0, "random seed; the same seed gives the same text", 0, 2**31 - 1)

    def __post_init__(self) -> None:
        if isinstance(self.stop, list):
            object.__setattr__(self, "stop", tuple(self.stop))
        for part in fields(self):
            if part.name != "stop":
                _check_number(part, getattr(self, part.name))
        texts = isinstance(self.stop, tuple) and all(isinstance(t, str) and t for t in self.stop)
        if not texts:
            raise WorkbenchError(
                f"stop={self.stop!r} is not accepted: a tuple of texts, none empty, as in ('\\n',)"
            )
        if self.beams > 1:
            self._check_beams()

    def _check_beams(self) -> None:
        filters = {name: entry.neutral for name, entry in FILTERS.items()}
        for name, accepted in {"temperature": 0, **filters, "contrast_alpha": 0}.items():
            if (value := getattr(self, name)) != accepted:
                raise WorkbenchError(
                    f"{name}={value:g} with beams={self.beams} is not accepted: beam search looks "
                    f"for the likeliest text; set {name}={accepted:g}, or beams=1"
                )


def _check_number(part: Field[Any], value: Any) -> None:
    low, high = part.metadata["low"], part.metadata["high"]
    kind = int if isinstance(part.default, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        number = "a whole number" if kind is int else "a number"
        raise WorkbenchError(
            f"{part.name}={value!r} is not accepted: {number} from {low:g} to {high:g}"
        )
