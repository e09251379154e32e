"""Prompts to originals, critiques and revisions (Bai et al. 2022, section 3)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.errors import WorkbenchError
from workbench.feedback.constitution.chats import Chat
from workbench.feedback.constitution.critics import Answered, Critic, Critique
from workbench.feedback.constitution.principles import Principle, check_principles, pick

AT_ONCE = 8  # answers that a critic is given together
NEVER = 8  # answers in a row without a critique in form after which a critic is given up


@dataclass(frozen=True)
class Revision:
    """One answer with its critique and its revision.

    Attributes:
        revision: None where the principle is kept, or no critique or no revision came in form.
        broken: the critic's verdict; None where it never answered in form.
        tries: how often the critic was asked before it was not in form.
    """

    prompt: str
    original: str
    principle: Principle
    critique: str
    broken: bool | None
    revision: str | None
    writer: str
    critic: str
    tries: int
    seed: int


def revise(
    prompts: Sequence[str],
    principles: Sequence[Principle],
    writer: Chat,
    critic: Critic,
    seed: int = 0,
) -> Iterator[Revision]:
    """Answer each prompt, and let the critic find and mend what breaks a principle.

    Args:
        prompts: a prompt that is repeated is answered as often, each time with another seed.
        principles: one is drawn for each answer.
        writer, critic: with a journal in front (`Remembered`), work goes on where it stopped.
        seed: of answers, replies and principles.

    Raises:
        WorkbenchError: no or empty prompts or principles, a critic that never answers in form, an
            endpoint that can't be reached.
    """
    cases = answered(prompts, principles, writer, seed)
    never = 0
    for start in range(0, len(cases), AT_ONCE):
        batch = cases[start : start + AT_ONCE]
        critiques = critic.critiques(batch, seed)
        broken = [i for i, critique in enumerate(critiques) if critique.broken]
        texts = critic.revisions([batch[i] for i in broken], [critiques[i] for i in broken], seed)
        revisions = dict(zip(broken, texts, strict=True))
        for index, (case, critique) in enumerate(zip(batch, critiques, strict=True)):
            never = never + 1 if critique.broken is None else 0
            yield Revision(
                case.prompt, case.answer, case.principle, *critique, revisions.get(index),
                writer.name, critic.name, critic.tries, seed,
            )  # fmt: skip
            if never == NEVER:
                raise WorkbenchError(
                    f"critic {critic.name} did not answer in form for {never} answers in a row, "
                    f"{critic.tries} tries each; its last reply was {critique.text[:60]!r}; "
                    "use another critic"
                )


def answered(
    prompts: Sequence[str], principles: Sequence[Principle], writer: Chat, seed: int
) -> list[Answered]:
    """Every prompt with an answer of the writer and a principle; the n-th answer to the same prompt
    has another seed than those before it."""
    check_prompts(prompts)
    check_principles(principles)
    counts: Counter[str] = Counter()
    numbers = []  # how often the prompt came before
    for prompt in prompts:
        numbers.append(counts[prompt])
        counts[prompt] += 1
    answers: dict[int, str] = {}
    for number in sorted(set(numbers)):
        asked = [index for index, n in enumerate(numbers) if n == number]
        found = writer.replies([prompts[index] for index in asked], _seed(seed, number))
        answers |= {asked[index]: reply for index, reply in found}
    return [
        Answered(prompt, answers[index], pick(principles, prompt, number, seed))
        for index, (prompt, number) in enumerate(zip(prompts, numbers, strict=True))
    ]


def check_prompts(prompts: Sequence[str]) -> None:
    """Raise WorkbenchError where there is no prompt, or one is empty."""
    if not prompts:
        raise WorkbenchError("prompts is empty; at least one is needed")
    for number, prompt in enumerate(prompts, start=1):
        if not prompt.strip():
            raise WorkbenchError(f"prompt {number} is empty: a prompt holds some text")


def stream_revision(
    prompt: str, principle: Principle, writer: Chat, critic: Critic, seed: int = 0
) -> Iterator[tuple[str, str, str]]:
    """Original, critique and revision so far, one after the other, step by step.

    The critique is taken as it comes, in form or not; where it says that the principle is kept,
    there is no revision.
    """
    check_prompts([prompt])
    original = critique = ""
    for original in writer.stream(prompt, seed):
        yield original, "", ""
    case = Answered(prompt, original, principle)
    for critique in critic.stream_critique(case, seed):
        yield original, critique, ""
    if Critique.of(critique).broken:
        for revision in critic.stream_revision(case, critique, seed):
            yield original, critique, revision


def _seed(seed: int, number: int) -> int:
    """The seed of the answer `number` to the same prompt; that of the first is `seed` itself."""
    return random.Random(f"answer {seed} {number}").randrange(2**31) if number else seed
