"""Critique, revision and choice: what a critic does, and the rules of the reviews world as one.

Both kinds of feedback of Bai et al. 2022: an answer is criticised and revised (section 3), and of
two answers the one is chosen that follows the principle better (section 4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from workbench.errors import WorkbenchError
from workbench.feedback.constitution.principles import Principle
from workbench.feedback.constitution.review_rules import RULES, Rule

YES_NO = re.compile(r"\W*(?:the answer is\W*)?(yes|no)\b", re.IGNORECASE)


class Answered(NamedTuple):
    """An answer to a prompt, and the principle that it is held against."""

    prompt: str
    answer: str
    principle: Principle


class Critique(NamedTuple):
    """What a critic says of an answer. `broken` is None where it never answered in form."""

    text: str
    broken: bool | None

    @classmethod
    def of(cls, reply: str) -> Critique:
        """A reply, read: it has to begin with yes or no.

        >>> [Critique.of(reply).broken for reply in ("Yes, it blames.", "no.", "Nobody can")]
        [True, False, None]
        """
        found = YES_NO.match(reply)
        return cls(reply, None if found is None else found[1].lower() == "yes")


class Chooser(Protocol):
    """Says which of two answers follows a principle better."""

    @property
    def name(self) -> str: ...

    def choices(
        self, cases: Sequence[Answered], others: Sequence[str], seed: int
    ) -> list[float | None]:
        """The probability, 0 to 1, that the answer follows its principle better than the other one,
        which is shown after it; None where the critic never answered in form."""


class Critic(Chooser, Protocol):
    """Holds answers against principles. Every method takes several cases at once."""

    @property
    def tries(self) -> int:
        """How often it is asked before a reply counts as not in form."""

    def critiques(self, cases: Sequence[Answered], seed: int) -> list[Critique]:
        """Whether each answer breaks its principle, and why."""

    def revisions(
        self, cases: Sequence[Answered], critiques: Sequence[Critique], seed: int
    ) -> list[str | None]:
        """Each answer as it should be; None where no text came."""

    def stream_critique(self, case: Answered, seed: int) -> Iterator[str]:
        """The critique so far, step by step."""

    def stream_revision(self, case: Answered, critique: str, seed: int) -> Iterator[str]:
        """The revision so far, step by step."""


@dataclass(frozen=True)
class RuleCritic:
    """The rules of the reviews world: always in form, the same in either order, free.

    A principle without a rule is refused with a WorkbenchError.
    """

    name: str = "rules"
    tries: int = 1

    def critiques(self, cases: Sequence[Answered], seed: int = 0) -> list[Critique]:
        found = [_rule(case).find(case.answer) for case in cases]
        return [
            Critique(f"Yes: {'; '.join(parts).rstrip('.')}." if parts else "No.", bool(parts))
            for parts in found
        ]

    def revisions(
        self, cases: Sequence[Answered], critiques: Sequence[Critique], seed: int = 0
    ) -> list[str | None]:
        return [_rule(case).mend(case.prompt, case.answer) for case in cases]

    def choices(
        self, cases: Sequence[Answered], others: Sequence[str], seed: int = 0
    ) -> list[float | None]:
        """1 where it breaks the principle in fewer places, 0 in more, 1/2 in as many."""
        counts = [
            [len(_rule(case).find(text)) for text in (case.answer, other)]
            for case, other in zip(cases, others, strict=True)
        ]
        return [0.5 + 0.5 * ((a < b) - (a > b)) for a, b in counts]

    def stream_critique(self, case: Answered, seed: int = 0) -> Iterator[str]:
        yield self.critiques([case])[0].text

    def stream_revision(self, case: Answered, critique: str, seed: int = 0) -> Iterator[str]:
        yield _rule(case).mend(case.prompt, case.answer)


@dataclass(frozen=True)
class BiasedCritic:
    """A critic with known biases, to see what they do and whether they are measured.

    Each choice of `critic` becomes log-odds, at most `sure` in size, and the biases are added.

    Attributes:
        first: log-odds for the answer that is shown first.
        longer: log-odds for each word that the answer is longer than the other one.
    """

    critic: Critic
    first: float = 0.0
    longer: float = 0.0
    sure: float = 2.0
    name: str = "biased"

    def choices(
        self, cases: Sequence[Answered], others: Sequence[str], seed: int = 0
    ) -> list[float | None]:
        found: list[float | None] = []
        for case, other, chance in zip(
            cases, others, self.critic.choices(cases, others, seed), strict=True
        ):
            if chance is None:
                found.append(None)
                continue
            odds = self.sure * (2 * chance - 1) + self.first
            odds += self.longer * (len(case.answer.split()) - len(other.split()))
            found.append(0.5 + 0.5 * math.tanh(odds / 2))
        return found


def _rule(case: Answered) -> Rule:
    if not case.principle.rule:
        raise WorkbenchError(
            f"principle {case.principle.name!r} has no rule: give it one of {', '.join(RULES)}, or "
            "let a model be the critic"
        )
    return RULES[case.principle.rule]
