"""What may change while a run goes on: learning rate, loss and the loss's parameters."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from workbench.core.losses import LOSSES, MODIFIERS, all_parameters, check_parameter, find_loss
from workbench.core.losses.parameter import is_finite
from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig, check_field

(LR,) = (part for part in fields(TrainConfig) if part.name == "lr")


class LiveSettings(dict[str, Any]):
    """`lr`, `loss`, every parameter and modifier of any loss of the method; also as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no setting {name!r}; there are {', '.join(self)}") from None

    @classmethod
    def start(cls, config: TrainConfig) -> LiveSettings:
        """Those of a configuration whose open fields are filled in.

        A parameter of another loss of the method stands at its default, a modifier at the value
        that changes nothing.
        """
        chosen = find_loss(config.loss)
        family = [one for one in LOSSES.values() if one.method == chosen.method]
        modifiers = {name: MODIFIERS[name].neutral for one in family for name in one.modifiers}
        waiting = modifiers | {n: v for one in reversed(family) for n, v in one.defaults.items()}
        values = {name: getattr(config, name) for name in waiting}
        given = {name: value for name, value in values.items() if value is not None}
        return cls({"loss": config.loss, "lr": config.lr, **waiting, **chosen.defaults, **given})


def check_setting(name: str, value: Any) -> None:
    """Refuse a live setting that no run can use.

    Raises:
        WorkbenchError: naming the setting, the bad value and what is accepted.
    """
    if name == "loss":
        find_loss(value)
    elif name == "lr":
        if not (is_finite(value) and value > 0):
            raise WorkbenchError(f"lr={value!r} is not accepted: a finite number above 0 is needed")
    elif name in all_parameters():
        check_parameter(name, value)
    else:
        accepted = ", ".join(["lr", "loss", *sorted(all_parameters())])
        raise WorkbenchError(f"{name} can't be changed during a run; accepted: {accepted}")


def check_in_run(
    name: str, value: Any, settings: LiveSettings, method: str, compares: bool
) -> None:
    """Refuse a live setting that this run can't use; `compares`: whether it has a reference.

    Raises:
        WorkbenchError: as `check_setting`; another method's loss or parameter; a learning rate that
            no run may start with.
    """
    check_setting(name, value)
    if name == "lr":
        check_field(LR, value)
    if name not in settings:
        accepted = ", ".join(settings)
        raise WorkbenchError(f"{name} is no setting of method {method}; accepted: {accepted}")
    if name != "loss":
        return
    loss = find_loss(value)
    if loss.method != method:
        raise WorkbenchError(
            f"loss={value!r} trains by method {loss.method}, this run by {method}; "
            "start another run for it"
        )
    if loss.needs_reference and not compares:
        raise WorkbenchError(
            f"loss={value!r} compares with a reference; this run was started without one"
        )
