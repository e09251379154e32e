"""Every path of the questions ends, and what it ends in runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest

from workbench.cli.command_settings import Train
from workbench.cli.flags import parse
from workbench.core.losses import find_loss
from workbench.errors import WorkbenchError
from workbench.runs.choosing.decision_tree import Leaf, Question, default_leaf, follow, paths
from workbench.runs.choosing.method_questions import METHOD_QUESTIONS
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EndEvent, EvalEvent

PATHS = list(paths(METHOD_QUESTIONS))
LEAVES = [leaf for _, leaf in PATHS]
by_name = pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.name)


@by_name
def test_the_configuration_of_every_leaf_trains(leaf: Leaf, make_run: Callable[..., Run]) -> None:
    run = make_run(**{**leaf.settings, "max_steps": 3, "eval_every": 0, "samples": 2})
    events = list(run)
    assert run.step == 3
    assert isinstance(events[-1], EndEvent)
    assert sum(isinstance(event, EvalEvent) for event in events) == 2
    assert run.config.loss == leaf.config().resolved().loss


@by_name
def test_code_and_command_are_the_configuration(leaf: Leaf) -> None:
    assert eval(leaf.code, {"TrainConfig": TrainConfig}) == leaf.config()
    command = parse(shlex.split(leaf.command.removeprefix("python run.py ")))
    assert isinstance(command, Train)
    assert {name: getattr(command, name) for name in leaf.settings} == leaf.settings


@by_name
def test_every_leaf_writes_out_its_parameters_and_says_why(leaf: Leaf) -> None:
    loss = find_loss(leaf.config().resolved().loss)
    own = set(loss.parameters) - {"normalize", "desirable_weight", "undesirable_weight"}
    assert own <= leaf.settings.keys()
    assert len(re.findall(r"\.(?: |$)", leaf.reason)) == 2  # sentences
    assert leaf.source


def test_every_path_ends_and_no_two_end_alike() -> None:
    assert len({leaf.name for leaf in LEAVES}) == len(LEAVES) == 14
    assert len({path for path, _ in PATHS}) == len(PATHS)
    assert all(follow(METHOD_QUESTIONS, path) is leaf for path, leaf in PATHS)


def test_whoever_has_neither_pairs_nor_labels_nor_a_reward_is_told_to_make_pairs() -> None:
    leaf = default_leaf(follow(METHOD_QUESTIONS, ["neither"]))
    assert "vote" in leaf.reason
    assert "11_your_votes" in leaf.source
    trusted = follow(METHOD_QUESTIONS, ["neither", "yes"])
    assert isinstance(trusted, Leaf)
    assert trusted.settings["method"] == "reward_model"
    assert "RLHF" in trusted.name


def test_whoever_does_not_know_is_led_to_dpo() -> None:
    assert default_leaf(METHOD_QUESTIONS).settings["loss"] == "dpo"


def test_other_settings_are_kept_and_the_leafs_own_count() -> None:
    leaf = Leaf("a", {"loss": "ipo", "beta": 0.5}, "", "")
    config = leaf.config(TrainConfig(beta=1.0, epochs=2))
    assert (config.loss, config.beta, config.epochs) == ("ipo", 0.5, 2)


def test_what_is_no_answer_is_told() -> None:
    tree = Question("Which", {"this": Leaf("A", {}, "", ""), "that": Leaf("B", {}, "", "")})
    with pytest.raises(WorkbenchError, match="'other' is no answer to 'Which'; accepted: 'this'"):
        follow(tree, ["other"])
    with pytest.raises(WorkbenchError, match="'more' is one answer too many: B is reached"):
        follow(tree, ["that", "more"])
