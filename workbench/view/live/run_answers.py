"""The answers of runs beside their reference's, as tables and panes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.train.events import Sample
from workbench.view.html.render import Html, render
from workbench.view.html.side_by_side import PromptAnswers, side_by_side
from workbench.view.live.run_state import RunState
from workbench.view.live.worker import Answers
from workbench.view.live.writing import FINISHED

NO_ANSWERS = side_by_side(("reference", "policy"), [PromptAnswers("", ("", ""))], "panes", state="")
NO_TEXTS = render(
    "line", text="This run trains no model that writes texts, so none are shown here."
)


def policy_and_reference(
    samples: Mapping[str, Sequence[Sample]], look: str = "plain", state: str = FINISHED
) -> Html:
    """The samples of policies by title, which answered the same prompts, beside their reference's.

    See `side_by_side` for `look` and `state`.
    """
    rows = list(zip(*samples.values(), strict=True))
    # A run without a reference makes texts of the model before it on request only.
    before = ["reference"] if all("reference" in row[0].texts for row in rows) else []
    answers = [
        PromptAnswers(
            row[0].prompt,
            [*(row[0].texts[who] for who in before), *(sample.policy for sample in row)],
            cuts=[*(row[0].reference_cut for _ in before), *(sample.policy_cut for sample in row)],
        )
        for row in rows
    ]
    drawn = next((row[0].drawn for row in rows), "")
    return side_by_side([*before, *samples], answers, look, state, drawn)


def titled(answers: Answers) -> dict[str, tuple[Sample, ...]]:
    """The samples of runs by the run's name, or "policy" for a single one, and its step."""
    return {
        f"{name if len(answers) > 1 else 'policy'} · step {step}": samples
        for name, (step, samples) in answers.items()
    }


def with_newest(kept: Answers, run_state: RunState, samples: tuple[Sample, ...]) -> Answers:
    """The newest samples, and those of other runs with the same prompts and reference answers."""
    questions = [(sample.prompt, sample.reference) for sample in samples]
    alike = {
        name: (step, texts)
        for name, (step, texts) in kept.items()
        if [(text.prompt, text.reference) for text in texts] == questions
    }
    return alike | {run_state.name: (run_state.step, samples)}
