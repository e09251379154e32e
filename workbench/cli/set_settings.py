"""What the command `set` can be told: the settings that may change while a run goes on."""

from __future__ import annotations

from dataclasses import Field, field, fields, make_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from workbench.core.losses import all_parameters
from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig, setting
from workbench.train.settings import check_setting

LIVE = ("lr", "loss", *all_parameters())


class _Asked:
    source: str
    stop: bool
    wait: float

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            check_setting(name, value)
        if not self.settings and not self.stop:
            raise WorkbenchError("nothing is asked for: give --stop, or a setting such as --beta")
        if not 0 <= self.wait <= 1e6:
            raise WorkbenchError(f"wait={self.wait!r} is not accepted: 0 to 1e+06 seconds")

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that were given."""
        return {name: value for name in LIVE if (value := getattr(self, name)) is not None}


def _of_run(part: Field[Any]) -> tuple[str, Any, Any]:
    help = part.metadata["help"].split("; ")[0]
    kind = get_type_hints(TrainConfig)[part.name]
    return part.name, kind, field(default=None, metadata={**part.metadata, "help": help})


if TYPE_CHECKING:
    SetCommand = _Asked
else:
    SetCommand = make_dataclass(
        "SetCommand",
        [
            ("source", str, setting("", "folder of a run that goes on", path=True)),
            *(_of_run(part) for part in fields(TrainConfig) if part.name in LIVE),
            ("stop", bool, setting(False, "end it after the present step, evaluated and saved")),
            ("wait", float, setting(60.0, "seconds that its reply is waited for", 0.0, 1e6)),
        ],
        bases=(_Asked,), frozen=True, kw_only=True,
        namespace={"__doc__": """Change or stop a run that goes on in another process.

    The run takes it between two steps. Ends with 0 when it has, with 1 where no reply came in time,
    with 2 where nobody runs it or it refuses.
    """},
    )  # fmt: skip
