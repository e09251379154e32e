"""An answer, its critique and its revision beside each other, while they are written.

critique_and_revise(writer, critic, PRINCIPLES, "how was the film?")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import ipywidgets as widgets

from workbench.feedback.constitution.chats import Chat
from workbench.feedback.constitution.critics import Critic
from workbench.feedback.constitution.principles import Principle, check_principles
from workbench.feedback.constitution.revising import stream_revision
from workbench.generation.config import SamplingConfig
from workbench.view.compare.ask import Asking
from workbench.view.controls.view_box import view_box
from workbench.view.html.differences import marked_answers
from workbench.view.html.render import escape, render, style
from workbench.view.live.writing import FINISHED, Draft, Texts, Writing

PANES = ["original", "critique", "revision"]


def critique_and_revise(
    writer: Chat, critic: Critic, principles: Sequence[Principle], prompt: str = "", seed: int = 0
) -> RevisionPanes:
    """Type a prompt, choose a principle, press Generate: three panes fill one after the other.

    Args:
        prompt: answered when it is shown; a saved notebook keeps what was written.

    Raises:
        WorkbenchError: no principles, or one name twice.
    """
    check_principles(principles)
    return RevisionPanes(writer, critic, principles, prompt, seed)


class RevisionPanes(Asking):
    """What `critique_and_revise` makes; `principle` is the widget that chooses one."""

    def __init__(
        self,
        writer: Chat,
        critic: Critic,
        principles: Sequence[Principle],
        prompt: str,
        seed: int,
    ) -> None:
        self.writer, self.critic = writer, critic
        self.principle = widgets.Dropdown(
            options=[(one.name, one) for one in principles], description="principle"
        )
        self._chosen = principles[0]
        super().__init__((), prompt, SamplingConfig(seed=seed))

    @property
    def names(self) -> list[str]:
        return PANES

    def _writing_of(
        self, question: str, sampling: SamplingConfig, show: Callable[[Draft], None]
    ) -> Writing:
        self._chosen = self.principle.value
        seed, chosen = sampling.seed, self._chosen
        return _Stages(
            lambda: stream_revision(question, chosen, self.writer, self.critic, seed), show
        )

    @property
    def _panes(self) -> str:
        texts = [escape(text) for text in self.answers.values()]
        state = self.draft.state if self._question else ""
        if state == FINISHED and self.answers["revision"]:
            texts[::2] = marked_answers([self.answers["original"], self.answers["revision"]])
        answers = [(name, text, "") for name, text in zip(PANES, texts, strict=True)]
        return render(
            "side_by_side", names=PANES, rows=[(None, answers)], look="panes", state=state, drawn=""
        )

    @property
    def _caption(self) -> str:
        if not self._question:
            return ""
        said = (
            f"{self._chosen.text} · writer {self.writer.name} · critic {self.critic.name} · "
            f"seed {self._sampling.seed}"
        )
        return render("asked", prompt=self._question, sampling=said)

    def _arrange(self) -> widgets.VBox:
        sheets = widgets.HTML(style("workbench", "answer_panes", "asking")).add_class("wb-style")
        settings = [self.principle, self.controls.widgets["seed"]]
        row = widgets.HBox([self.prompt, *settings, self.generate, self.cease])
        row.add_class("wb-row").add_class("wb-ask")
        parts = [sheets, row, *self._html.values()]
        return view_box(parts, "wb-dashboard", "wb-asking")


class _Stages(Writing):
    """Texts that are written one after the other: one in each pane."""

    def __init__(
        self, stages: Callable[[], Iterator[tuple[str, ...]]], show: Callable[[Draft], None]
    ) -> None:
        super().__init__((), (), SamplingConfig(), show)
        self._texts = tuple([""] for _ in PANES)
        self._stages = stages

    def _stream(self) -> Iterator[Texts]:
        return (tuple([text] for text in texts) for texts in self._stages())
