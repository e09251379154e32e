"""Pairs of answers labelled by a model: which one follows a principle (Bai et al. 2022, section 4).

A model may prefer what is shown first, so both orders are asked, and their probabilities averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.feedback.constitution.chats import Chat
from workbench.feedback.constitution.critics import Answered, Chooser
from workbench.feedback.constitution.principles import Principle
from workbench.feedback.constitution.revising import AT_ONCE, answered, check_prompts


@dataclass(frozen=True)
class Label:
    """Two answers to one prompt, and which of them follows the principle better.

    Attributes:
        a_first: the probability of a, 0 to 1, where a is shown first; None without one in form.
        a_second: the same where a is shown second.
    """

    prompt: str
    a: str
    b: str
    principle: Principle
    a_first: float | None
    a_second: float | None
    writer: str
    critic: str
    seed: int

    @property
    def score(self) -> float | None:
        """The probability of a, averaged over both orders; None where one of them is missing."""
        if self.a_first is None or self.a_second is None:
            return None
        return (self.a_first + self.a_second) / 2


def label(
    prompts: Sequence[str],
    principles: Sequence[Principle],
    writer: Chat,
    critic: Chooser,
    seed: int = 0,
) -> Iterator[Label]:
    """Let the writer answer each prompt twice, and the critic choose, in both orders.

    Arguments and errors are those of `revise`.
    """
    check_prompts(prompts)
    twice = [prompt for prompt in prompts for _ in range(2)]
    cases = answered(twice, principles, writer, seed)
    pairs = [(one, other.answer) for one, other in zip(cases[::2], cases[1::2], strict=True)]
    for start in range(0, len(pairs), AT_ONCE):
        yield from label_answers(pairs[start : start + AT_ONCE], critic, seed, writer.name)


def label_answers(
    pairs: Sequence[tuple[Answered, str]], critic: Chooser, seed: int = 0, writer: str = "given"
) -> list[Label]:
    """Let the critic compare answers that exist, each with another one to its prompt."""
    cases, others = [case for case, _ in pairs], [other for _, other in pairs]
    swapped = [case._replace(answer=other) for case, other in pairs]
    first = critic.choices(cases, others, seed)
    second = critic.choices(swapped, [case.answer for case in cases], seed)
    return [
        Label(
            case.prompt, case.answer, other, case.principle,
            one, None if two is None else 1 - two, writer, critic.name, seed,
        )
        for case, other, one, two in zip(cases, others, first, second, strict=True)
    ]  # fmt: skip
