"""What a training method is: one object through which the rest of the package trains.

Runs, records, dashboards and commands work with any method and know none by name.

The loss of an optimiser step is the sum of its items' values divided by the sum of their weights,
over all forward passes and processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.losses import Loss, find_loss
from workbench.core.policy import Policy
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source
from workbench.data.pairs import ReadRows, SkippedRow, TextPair, TruncatedRow
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.train.config import TrainConfig

Item = TypeVar("Item")
Settings = Mapping[str, Any]


class Reference(Protocol):
    """Gives the reference's (sequence,) summed log-probabilities of a batch, without gradient.

    `beyond` those of the tokens beyond the length of a pair's shorter completion.
    """

    def logps(self, batch: SequenceBatch) -> Tensor: ...

    def beyond(self, batch: SequenceBatch) -> Tensor: ...


@dataclass(frozen=True)
class Encoded(Generic[Item]):
    """Items as token ids with the texts that they were made of, in the same order."""

    items: list[Item]
    texts: list[Any]
    skipped: list[SkippedRow]
    truncated: list[TruncatedRow]


@dataclass(frozen=True)
class Outcome:
    """What a forward pass gives: `values` (item,) of the loss, and metrics, (item,) each."""

    values: Tensor
    metrics: dict[str, Tensor]


class Method(Generic[Item]):
    """A training method; subclasses stand in `train/methods/`, one per file, as `METHOD`.

    Attributes:
        name: of its file.
        noun: what its rows are called, in the plural.
        completions: how many completions of an item the reference scores.
        paired: whether its rows are pairs.
        rollouts: whether the policy writes the completions itself; the rows are prompts then.
    """

    name = ""
    noun = "pairs"
    completions = 2
    paired = False
    rollouts = False

    # -- data ---------------------------------------------------------------------------------

    def read(self, source: Source, reading: Reading | str | None = None) -> ReadRows:
        """The usable rows of a source, as texts, and the rows that were skipped; arguments as those
        of `read_pairs`.
        """
        raise NotImplementedError

    def from_pairs(self, pairs: Sequence[TextPair]) -> list[Any]:
        """This method's texts from preference pairs."""
        raise NotImplementedError

    def encode(self, texts: Sequence[Any], tokenizer: Tokenizer, max_length: int) -> Encoded[Item]:
        """Texts as token ids of at most `max_length`, prompt included."""
        raise NotImplementedError

    def complete(
        self, items: Sequence[Item], others: Sequence[Item], max_length: int
    ) -> Sequence[Item]:
        """The items with what they take from each other or from `others`; as a rule nothing."""
        return items

    def open_settings(self, items: Sequence[Item], asked: TrainConfig) -> dict[str, Any]:
        """Values for settings that `asked` leaves open and the training items decide; as a rule
        none. Raises WorkbenchError for items that the method can't be trained on."""
        return {}

    def columns(self, text: Any) -> dict[str, Any]:
        """What tables show of a text."""
        return {"prompt": text.prompt, "chosen": text.chosen, "rejected": text.rejected}

    def size(self, item: Item) -> int:
        """Tokens of an item, by which similar ones are put together."""
        raise NotImplementedError

    def collate(
        self, items: Sequence[Item], pad_id: int, layout: str, index: Sequence[int]
    ) -> SequenceBatch:
        """A batch of items; `index` are their indices in the data set."""
        raise NotImplementedError

    def check_batch_size(self, batch_size: int) -> None:
        """Raise WorkbenchError for a batch that the method can't train on."""

    # -- model --------------------------------------------------------------------------------

    def trained(self, policy: Policy) -> Policy:
        """The module that is trained, made of a language model: as a rule the model itself."""
        return policy

    def loss(self, settings: Settings) -> Loss:
        """The loss that the settings name."""
        return find_loss(settings["loss"], self.name)

    def check(self, settings: Settings) -> None:
        """Raise WorkbenchError for a parameter that the loss which they name can't be given."""
        loss = self.loss(settings)
        loss.check(**loss.pick(settings))

    def needs_reference(self, settings: Settings) -> bool:
        """Whether the loss compares with a reference."""
        return self.loss(settings).needs_reference

    # -- training -----------------------------------------------------------------------------

    def weights(self, batch: SequenceBatch) -> Tensor:
        """(item,) what the step's sum of values is divided by."""
        return torch.ones(batch.items)

    def statistics(
        self,
        policy: nn.Module,
        batches: Sequence[SequenceBatch],
        settings: Settings,
        reference: Reference | None,
    ) -> Any:
        """What the losses of a step need of all its items at once; nothing, as a rule."""
        return None

    def losses(
        self,
        policy: nn.Module,
        batch: SequenceBatch,
        settings: Settings,
        reference: Reference | None = None,
        statistics: Any = None,
    ) -> Outcome:
        """Values of the loss and metrics for each item of a batch, by one forward pass.

        Args:
            policy: that of `trained`, or a wrapper around it.
            settings: `loss` and its parameters.
            reference: None where `needs_reference` says so.
            statistics: of the step, see there.
        """
        raise NotImplementedError


@cache
def find_method(name: str) -> Method[Any]:
    """The method of this name, a file in `train/methods/`."""
    try:
        return import_module(f"workbench.train.methods.{name}").METHOD
    except ModuleNotFoundError as error:
        raise WorkbenchError(f"method={name!r} is unknown") from error


def given(reference: Reference | None) -> Reference:
    """The reference, where a loss that needs one has it."""
    if reference is None:
        raise WorkbenchError("this loss compares with a reference; the run has none")
    return reference


def shorter(batch: SequenceBatch) -> Tensor:
    """(sequence,) the length of the shorter completion of each sequence's pair."""
    return batch.lengths().view(-1, 2).amin(1).repeat_interleave(2)


def token_ids(item: Any) -> list[Any]:
    """The fields of an item, in order, for hashes of the data; marks only where there are any."""
    found = {field.name: getattr(item, field.name) for field in fields(item)}
    marks = [name for name in found if name.endswith("scored")]
    if not any(found[name] for name in marks):
        found = {name: value for name, value in found.items() if name not in marks}
    return list(found.values())
