"""Questions to click through, up to a configuration; beside them the whole tree as text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from workbench.runs.choosing.decision_tree import Leaf, Question, default_leaf, follow
from workbench.runs.choosing.method_questions import METHOD_QUESTIONS
from workbench.train.config import TrainConfig
from workbench.view.cell_output import beside
from workbench.view.controls.view_box import view_box
from workbench.view.html.render import Html, render, style

MOST_ANSWERS = 3  # to one question


def choose_method(path: Sequence[str] = (), config: TrainConfig | None = None) -> MethodChoice:
    """Answer questions about data and means: an object that displays itself as a cell's last line.

    Args:
        path: answers that are given already.
        config: settings of the training that no answer decides.

    Raises:
        WorkbenchError: something in `path` is no answer to its question.
    """
    return MethodChoice(path, config or TrainConfig())


class MethodChoice:
    """What `choose_method` makes. Its buttons are reached by Tab and pressed by Space or Enter.

    Attributes:
        path: the answers so far.
        buttons: one per answer of the question that is asked; those without an answer are hidden.
        back, restart: the buttons that take the last answer back, and all of them.
        box: all of it, as a widget.
    """

    def __init__(self, path: Sequence[str], config: TrainConfig) -> None:
        self.path, self._config = tuple(path), config
        self._lock = threading.Lock()  # callbacks may come on any thread
        # Always the same buttons, so that the keyboard's focus stays where it is.
        self.buttons = [_button("wb-answer") for _ in range(MOST_ANSWERS)]
        self.back, self.restart = _button("wb-back", "Back"), _button("wb-restart", "Start over")
        self._said, self._tree = widgets.HTML(), widgets.HTML()
        self._show()
        for number, button in enumerate(self.buttons):
            button.on_click(partial(self._clicked, number))
        self.back.on_click(lambda _: self.go(self.path[:-1]))
        self.restart.on_click(lambda _: self.go(()))
        row = widgets.HBox(
            [*self.buttons, self.back, self.restart], layout=widgets.Layout(flex_flow="row wrap")
        )
        sheet = widgets.HTML(style("workbench")).add_class("wb-style")
        self.box = view_box([sheet, self._said, row, self._tree], "wb-explorer")

    @property
    def leaf(self) -> Leaf:
        """The leaf that is reached; before that, the one for whoever answers no more."""
        return default_leaf(self._node)

    @property
    def config(self) -> TrainConfig:
        """The configuration of `leaf`."""
        return self.leaf.config(self._config)

    def go(self, path: Sequence[str]) -> None:
        """Give these answers in the place of those so far."""
        follow(METHOD_QUESTIONS, path)  # refuse what is no answer
        with self._lock:
            self.path = tuple(path)
            self._show()
        (self.back if isinstance(self._node, Leaf) else self.buttons[0]).focus()

    @property
    def html(self) -> Html:
        """The same without widgets, the whole tree included."""
        return Html(self._decision() + self._whole_tree(unfolded=True))

    @property
    def _node(self) -> Question | Leaf:
        return follow(METHOD_QUESTIONS, self.path)

    @property
    def _answers(self) -> list[str]:
        return list(self._node.answers) if isinstance(self._node, Question) else []

    def _clicked(self, number: int, _: widgets.Button) -> None:
        if number < len(self._answers):
            self.go((*self.path, self._answers[number]))

    def _show(self) -> None:
        answers = self._answers
        for number, button in enumerate(self.buttons):
            button.description = answers[number] if number < len(answers) else ""
            button.layout.display = "" if number < len(answers) else "none"
        self.back.disabled = self.restart.disabled = not self.path
        self._said.value, self._tree.value = self._decision(), self._whole_tree(unfolded=False)

    def _decision(self) -> Html:
        nodes = [follow(METHOD_QUESTIONS, self.path[:count]) for count in range(len(self.path))]
        asked = [node.text for node in nodes if isinstance(node, Question)]
        question = self._node.text if isinstance(self._node, Question) else ""
        return render(
            "decision", path=list(zip(asked, self.path, strict=True)), question=question,
            leaf=self.leaf, code=self.leaf.code, command=self.leaf.command,
        )  # fmt: skip

    def _whole_tree(self, unfolded: bool) -> Html:
        branches = _branches(METHOD_QUESTIONS, self.path)
        return render("decision_tree", text=METHOD_QUESTIONS.text, branches=branches, open=unfolded)

    def _ipython_display_(self) -> None:
        display(beside(self.box, self.html), raw=True)


def _button(name: str, text: str = "") -> widgets.Button:
    return widgets.Button(description=text, layout=widgets.Layout(width="auto")).add_class(name)


def _branches(question: Question, path: tuple[str, ...]) -> list[dict[str, Any]]:
    """The answers of a question and what follows; `path` are those that were given from it on."""
    found = []
    for answer, node in question.answers.items():
        taken = path[:1] == (answer,)
        branch: dict[str, Any] = {"answer": answer, "taken": taken, "leaf": None}
        if isinstance(node, Leaf):
            branch["leaf"] = node
        else:
            after = _branches(node, path[1:] if taken else ())
            branch |= {"text": node.text, "branches": after}
        found.append(branch)
    return found
