"""The parameters of the losses as fields of a configuration, one for each name, from `LOSSES`."""

from __future__ import annotations

from typing import Any, TypeVar

from workbench.core.losses import LOSSES, MODIFIERS, all_parameters
from workbench.train.config.field_checks import setting

C = TypeVar("C", bound=type)


def with_loss_parameters(cls: C) -> C:
    """Add a field for every parameter of any loss, behind the field `loss`."""
    own = dict(cls.__annotations__)
    position = list(own).index("loss") + 1
    added = {}
    for name, (parameter, default) in all_parameters().items():
        owners: dict[Any, list[str]] = {}
        for loss in LOSSES.values():
            if name in loss.parameters:
                owners.setdefault(loss.defaults[name], []).append(loss.name)
        values = ", ".join(f"{value!r} ({', '.join(names)})" for value, names in owners.items())
        help = f"{parameter.help}; left open: {values}"
        if name in MODIFIERS:
            help = f"{parameter.help}; left open: {default}, which changes nothing"
        facts = parameter.low, parameter.high, parameter.log, parameter.choices
        setattr(cls, name, setting(None, help, *facts))
        added[name] = f"{type(default).__name__} | None"
    cls.__annotations__ = dict([*own.items()][:position]) | added | dict([*own.items()][position:])
    return cls
