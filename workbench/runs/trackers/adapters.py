"""TensorBoard, W&B and Trackio behind one small interface; their packages load when used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from workbench.errors import WorkbenchError
from workbench.models.optional import optional

PROJECT = "dpo-workbench"


@dataclass(frozen=True)
class Shown:
    """The run that is shown.

    Attributes:
        source: its folder.
        settings: its settings, by name.
        folder: where the tracker writes; None for its own default.
    """

    source: Path
    settings: Mapping[str, str | int | float | bool]
    folder: Path | None = None

    @property
    def id(self) -> str:
        """The same for the same folder, so that a run that goes on is the same run there."""
        return f"{self.source.name}-{sha256(str(self.source.resolve()).encode()).hexdigest()[:8]}"


class Tracker(Protocol):
    """Takes numbers and texts of a run from its first event on.

    What it holds of this run from before must not be shown a second time.
    """

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step."""

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        """Texts: rows with the same columns."""

    def close(self) -> None:
        """Everything was logged."""


class TensorBoard:
    """Event files in `tensorboard` within the run's folder; settings as hparams.

    Files of the same folder from before are purged by TensorBoard when it reads them.
    """

    def __init__(self, run: Shown) -> None:
        optional("tensorboard", extra="track")
        folder = str(run.folder or run.source / "tensorboard")
        self._writer: Any = optional("torch.utils.tensorboard").SummaryWriter(
            folder, purge_step=0, flush_secs=10
        )
        self._writer.add_hparams(dict(run.settings), {}, run_name=".")

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        for number, row in enumerate(rows):
            # Indented, so that Markdown takes the text as it is.
            parts = [
                f"**{column}**\n\n" + "\n".join(f"    {line}" for line in text.split("\n"))
                for column, text in row.items()
            ]
            self._writer.add_text(f"{name}/{number}", "\n\n".join(parts), step)

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A W&B run; with WANDB_MODE=offline in a folder alone, to be sent by `wandb sync`.

    W&B takes no step twice: of a run that goes on, it keeps those that it has.
    """

    def __init__(self, run: Shown) -> None:
        self._wandb = optional("wandb", extra="track")
        folder = run.folder or run.source
        folder.mkdir(parents=True, exist_ok=True)
        self._run = self._wandb.init(
            project=PROJECT, name=run.source.name, id=run.id, resume="allow", dir=str(folder),
            config=dict(run.settings), settings=self._wandb.Settings(console="off"),
        )  # fmt: skip

    def log(self, values: Mapping[str, Any], step: int) -> None:
        if step >= self._run.starting_step:
            self._run.log(dict(values), step=step)

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        self.log({name: _table(self._wandb, rows)}, step)

    def close(self) -> None:
        self._run.finish()


class Trackio:
    """A run in Trackio's local store; what it holds of this run from before is replaced."""

    def __init__(self, run: Shown) -> None:
        if run.folder is not None:
            raise WorkbenchError("trackio has one folder for all runs: set TRACKIO_DIR instead")
        self._trackio = optional("trackio", extra="trackio")
        with suppress(ValueError):  # there is no project before its first run
            for earlier in self._trackio.Api().runs(PROJECT):
                if earlier.name == run.id:
                    earlier.delete()
        self._run = self._trackio.init(
            project=PROJECT, name=run.id, config=dict(run.settings), embed=False
        )

    def log(self, values: Mapping[str, Any], step: int) -> None:
        self._run.log(dict(values), step=step)

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        self.log({name: _table(self._trackio, rows)}, step)

    def close(self) -> None:
        self._run.finish()


def _table(library: Any, rows: Sequence[Mapping[str, str]]) -> Any:
    return library.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])


ADAPTERS: Mapping[str, Callable[[Shown], Tracker]] = {
    "tensorboard": TensorBoard, "wandb": WandB, "trackio": Trackio,
}  # fmt: skip
