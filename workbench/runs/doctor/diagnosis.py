"""What is said of one symptom."""

from __future__ import annotations

from dataclasses import dataclass

FOUND, NOT_FOUND, CANNOT_TELL = "found", "not found", "cannot tell"


@dataclass(frozen=True)
class Diagnosis:
    """A symptom, and whether a run has it.

    Attributes:
        name: of the symptom.
        verdict: "found", "not found" or "cannot tell".
        evidence: the numbers, with their steps; where it cannot be told, what is missing.
        next: what to try next; empty unless it was found.
    """

    name: str
    verdict: str
    evidence: str
    next: str = ""

    @property
    def found(self) -> bool:
        """Whether the run has it."""
        return self.verdict == FOUND
