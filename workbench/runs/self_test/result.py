"""What a self-test found, in one line and as JSON, with the card of the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

NAMED = 5  # rows or parameters that a failed check names


@dataclass(frozen=True)
class Check:
    """One check of a self-test.

    Attributes:
        name: what was checked.
        passed: whether it is as it should be.
        text: what was found; a failed one names rows or parameters, and says what to do.
        stops: whether training would be wrong, so that the run does not begin.
    """

    name: str
    passed: bool
    text: str
    stops: bool = False


@dataclass(frozen=True)
class ReferenceCard:
    """Which model a run's reference is.

    Attributes:
        name: of the model.
        hash: sha256 of its weights.
        kept: "adapters switched off", or "frozen copy".
        scored: "cached" where its values on the data are computed once, or "live".
        precision: in which it is computed.
    """

    name: str
    hash: str
    kept: str
    scored: str
    precision: str

    @property
    def line(self) -> str:
        """In a few words."""
        return f"{self.name} {self.hash[:12]}, {self.kept}, {self.precision}"


@dataclass(frozen=True)
class SelfTest:
    """What was found before the first step.

    Attributes:
        checks: see `Check`.
        left_out: checks that mean nothing for this run, with the reason.
        reference: None where the run compares with none.
    """

    checks: tuple[Check, ...]
    left_out: tuple[str, ...]
    reference: ReferenceCard | None

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def line(self) -> str:
        """All of it in one line.

        >>> SelfTest((Check("dropout is off", True, ""),), (), None).line
        'self-test: 1 of 1 checks passed; no reference'
        """
        passed = len(self.checks) - len(self.failed)
        parts = [f"self-test: {passed} of {len(self.checks)} checks passed"]
        parts += [f"failed: {check.name}: {check.text}" for check in self.failed]
        parts += list(self.left_out)
        card = self.reference
        return "; ".join([*parts, f"reference {card.line}" if card else "no reference"])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SelfTest:
        """From what `as_dict` gave."""
        card = values["reference"]
        return cls(
            tuple(Check(**check) for check in values["checks"]),
            tuple(values["left_out"]),
            None if card is None else ReferenceCard(**card),
        )


def named(found: Sequence[Any]) -> str:
    """The first few of them."""
    more = len(found) - NAMED
    return ", ".join(map(str, found[:NAMED])) + (f" and {more:,} more" if more > 0 else "")
