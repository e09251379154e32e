"""A tree of questions about one's data and means; every path ends in a configuration that runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig


@dataclass(frozen=True)
class Leaf:
    """Where a path ends.

    Attributes:
        name: of the method, for people.
        settings: fields of `TrainConfig` by name, its parameters written out.
        reason: why it fits, in two sentences.
        source: paper, or notebook.
        beyond: what belongs to the method and is not part of this training; empty where nothing is.
    """

    name: str
    settings: Mapping[str, Any]
    reason: str
    source: str
    beyond: str = ""

    def config(self, others: TrainConfig | None = None) -> TrainConfig:
        """The configuration; what the leaf leaves open is that of `others`."""
        return replace(others or TrainConfig(), **self.settings)

    @property
    def code(self) -> str:
        """The configuration as Python.

        >>> Leaf("DPO", {"loss": "dpo", "beta": 0.1}, "", "").code
        "TrainConfig(loss='dpo', beta=0.1)"
        """
        return f"TrainConfig({', '.join(f'{k}={v!r}' for k, v in self.settings.items())})"

    @property
    def command(self) -> str:
        """The same training as a command.

        >>> Leaf("cDPO", {"loss": "cdpo", "label_smoothing": 0.1}, "", "").command
        'python run.py train --loss cdpo --label-smoothing 0.1'
        """
        flags = (f"--{name.replace('_', '-')} {value}" for name, value in self.settings.items())
        return " ".join(["python run.py train", *flags])


@dataclass(frozen=True)
class Question:
    """A question, and where each answer leads; the first answer is for whoever does not know."""

    text: str
    answers: Mapping[str, Question | Leaf]


def follow(node: Question | Leaf, path: Sequence[str]) -> Question | Leaf:
    """Where these answers lead from `node`.

    Raises:
        WorkbenchError: something is no answer to its question, or there is no question left.
    """
    for answer in path:
        if isinstance(node, Leaf):
            raise WorkbenchError(f"{answer!r} is one answer too many: {node.name} is reached")
        if answer not in node.answers:
            accepted = ", ".join(map(repr, node.answers))
            raise WorkbenchError(f"{answer!r} is no answer to {node.text!r}; accepted: {accepted}")
        node = node.answers[answer]
    return node


def default_leaf(node: Question | Leaf) -> Leaf:
    """What follows where every question that is left gets its first answer."""
    while isinstance(node, Question):
        node = next(iter(node.answers.values()))
    return node


def paths(node: Question | Leaf) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    """Every path from `node`: its answers, and the leaf in which it ends."""
    if isinstance(node, Leaf):
        yield (), node
        return
    for answer, after in node.answers.items():
        for path, leaf in paths(after):
            yield (answer, *path), leaf
