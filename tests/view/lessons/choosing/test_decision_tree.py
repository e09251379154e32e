"""The questions as buttons: where clicks lead, and what is shown where there are no widgets."""

from __future__ import annotations

from html import escape

import pytest

from workbench.errors import WorkbenchError
from workbench.runs.choosing.decision_tree import Leaf, Question, paths
from workbench.runs.choosing.method_questions import METHOD_QUESTIONS
from workbench.train.config import TrainConfig
from workbench.view.lessons.choosing import decision_tree
from workbench.view.lessons.choosing.decision_tree import MethodChoice, choose_method

PATHS = list(paths(METHOD_QUESTIONS))


def offered(choice: MethodChoice) -> list[str]:
    """What the visible buttons say."""
    return [b.description for b in choice.buttons if b.layout.display != "none"]


def click(choice: MethodChoice, answer: str) -> None:
    next(button for button in choice.buttons if button.description == answer).click()


@pytest.mark.parametrize(("path", "leaf"), PATHS, ids=[leaf.name for _, leaf in PATHS])
def test_clicks_lead_to_every_leaf_and_back(path: tuple[str, ...], leaf: Leaf) -> None:
    choice = choose_method()
    for answer in path:
        click(choice, answer)
    assert choice.path == path
    assert choice.leaf is leaf
    assert choice.config == leaf.config()
    assert offered(choice) == []
    said = choice._said.value
    for text in (leaf.name, leaf.reason, leaf.source, leaf.beyond, leaf.code, leaf.command):
        assert escape(text) in said
    for count in reversed(range(len(path))):
        assert not choice.back.disabled
        choice.back.click()
        assert choice.path == path[:count]
        assert path[count] in offered(choice)
    assert choice.back.disabled


def test_start_over_takes_all_answers_back() -> None:
    choice = choose_method(["two answers, one preferred", "no"])
    choice.restart.click()
    assert choice.path == ()
    assert offered(choice) == list(METHOD_QUESTIONS.answers)


def test_a_click_on_a_button_without_an_answer_changes_nothing() -> None:
    choice = choose_method(["one answer, good or bad"])
    for button in choice.buttons:
        button.click()
    assert choice.path == ("one answer, good or bad",)


def test_the_path_is_shown_and_marked_in_the_tree() -> None:
    choice = choose_method(["neither", "yes"])
    assert "<b>neither</b>" in choice.html
    assert choice.html.count("<b>▸") == 2


def test_every_question_and_leaf_stands_in_the_text_beside_the_buttons() -> None:
    html = choose_method().html
    assert '<details class="wb-decision-tree" open>' in html
    waiting: list[Question | Leaf] = [METHOD_QUESTIONS]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Question):
            assert escape(node.text) in html
            waiting += node.answers.values()
        else:
            assert escape(node.code) in html


def test_settings_that_no_answer_decides_are_kept() -> None:
    choice = choose_method(["one answer, good or bad"], TrainConfig(epochs=7, beta=3.0))
    assert (choice.config.loss, choice.config.epochs, choice.config.beta) == ("kto", 7, 0.1)


def test_no_question_has_more_answers_than_there_are_buttons() -> None:
    waiting: list[Question | Leaf] = [METHOD_QUESTIONS]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Question):
            assert 2 <= len(node.answers) <= decision_tree.MOST_ANSWERS
            waiting += node.answers.values()


def test_what_is_no_answer_is_told() -> None:
    with pytest.raises(WorkbenchError, match="'maybe' is no answer to"):
        choose_method(["maybe"])


def test_texts_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "<script>alert(1)</script>"
    leaf = Leaf(hostile, {"loss": "dpo", "data": hostile}, hostile, hostile, hostile)
    monkeypatch.setattr(decision_tree, "METHOD_QUESTIONS", Question(hostile, {hostile: leaf}))
    for path in ([], [hostile]):
        assert "<script" not in choose_method(path).html
