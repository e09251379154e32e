"""What a worker needs of a place where it shows what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from workbench.train.events import Event, Sample
from workbench.view.lane import Lane

if TYPE_CHECKING:
    from workbench.view.worker import Worker


class Screen(Protocol):
    """Where a worker shows what happens. All of it is called on the worker's thread."""

    def loading(self, text: str, share: float) -> None:
        """The run is being made; `share` of that is done."""

    def opened(self, lane: Lane, parent: Lane | None) -> None:
        """A run was made, or branched off `parent`."""

    def event(self, lane: Lane, event: Event) -> None:
        """A run said something."""

    def sampled(self, lane: Lane, samples: tuple[Sample, ...], own: bool) -> None:
        """The answer to a `sample` command; `own` if the prompts were the person's."""

    def refused(self, error: Exception) -> None:
        """A command failed; the runs go on."""

    def refresh(self, worker: Worker) -> None:
        """Called between steps: a chance to draw. Drawing too often is the screen's to avoid."""

    def settle(self, worker: Worker) -> None:
        """Nothing will change before the next command: show the very last state."""

    def ended(self, worker: Worker) -> None:
        """Every run has ended: show the outcome. Comes once, whatever happened before."""
