"""A chat model as a critic: what it is asked, and how its replies are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import WorkbenchError
from workbench.feedback.constitution.chats import Chat, Replies
from workbench.feedback.constitution.critics import Answered, Critique

TRIES = 3
OPTIONS = ("A", "B")

# What a chat model is asked. Answers are material; an answer can still talk the critic round.
MATERIAL = "Principle: {principle}\n\nQuestion: {prompt}\nAnswer: {answer}\n\n"
CRITIQUE = MATERIAL + (
    "Does the answer break the principle? Begin with Yes or No. Then say in one sentence why."
)
REVISION = MATERIAL + (
    "What is wrong with it: {critique}\n\nRewrite the answer so that it follows the principle. "
    "Reply with the new answer and nothing else."
)
CHOICE = (
    "Principle: {principle}\n\nQuestion: {prompt}\nAnswer A: {first}\nAnswer B: {second}\n\n"
    "Which answer follows the principle better? Reply with A or B and nothing else."
)


@dataclass(frozen=True)
class ChatCritic:
    """A chat model as a critic.

    A critique has to begin with yes or no, a revision must not be empty, and a choice is the
    probability of A against B. What is not in form is asked for again with another seed.

    Attributes:
        chat: the model, usually `Remembered`, so that no reply is lost.
        tries: in all, for each reply.
    """

    chat: Chat
    tries: int = TRIES

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise WorkbenchError(f"tries={self.tries} is not accepted: at least 1")

    @property
    def name(self) -> str:
        return self.chat.name

    def critiques(self, cases: Sequence[Answered], seed: int) -> list[Critique]:
        texts = [_filled(CRITIQUE, case) for case in cases]
        replies = self._in_form(
            lambda left, at: self.chat.replies([texts[i] for i in left], at),
            len(texts), seed, lambda reply: Critique.of(reply).broken is not None,
        )  # fmt: skip
        return [Critique.of(reply) for reply in replies]

    def revisions(
        self, cases: Sequence[Answered], critiques: Sequence[Critique], seed: int
    ) -> list[str | None]:
        texts = [
            _filled(REVISION, case, critique=critique.text)
            for case, critique in zip(cases, critiques, strict=True)
        ]
        replies = self._in_form(
            lambda left, at: self.chat.replies([texts[i] for i in left], at), len(texts), seed, bool
        )
        return [reply or None for reply in replies]

    def choices(
        self, cases: Sequence[Answered], others: Sequence[str], seed: int
    ) -> list[float | None]:
        texts = [
            _filled(CHOICE, case, first=case.answer, second=other)
            for case, other in zip(cases, others, strict=True)
        ]
        return self._in_form(
            lambda left, at: self.chat.chances([texts[i] for i in left], OPTIONS, at),
            len(texts), seed, lambda chance: chance is not None,
        )  # fmt: skip

    def stream_critique(self, case: Answered, seed: int) -> Iterator[str]:
        return self.chat.stream(_filled(CRITIQUE, case), seed)

    def stream_revision(self, case: Answered, critique: str, seed: int) -> Iterator[str]:
        return self.chat.stream(_filled(REVISION, case, critique=critique), seed)

    def _in_form(
        self,
        ask: Callable[[list[int], int], Replies],
        count: int,
        seed: int,
        in_form: Callable[[Any], bool],
    ) -> list[Any]:
        """The first value in form of each of `count` texts, else the last one after all tries."""
        values: list[Any] = [None] * count
        left = list(range(count))
        for number in range(self.tries):
            for index, value in ask(left, seed + number):
                values[left[index]] = value
            left = [index for index in left if not in_form(values[index])]
            if not left:
                break
        return values


def _filled(request: str, case: Answered, **more: str) -> str:
    principle = case.principle.text
    return request.format(prompt=case.prompt, answer=case.answer, principle=principle, **more)
