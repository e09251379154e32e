"""Every field becomes the widget that its metadata calls for, at the value that it has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ipywidgets as widgets
import pytest

from workbench.core.losses import LOSSES
from workbench.generation.config import SamplingConfig
from workbench.train.config import TrainConfig
from workbench.view.controls.fields import control
from workbench.view.controls.number import NumberControl


@dataclass(frozen=True)
class LiveSettings:
    """One field of each kind."""

    beta: float = field(
        default=0.1, metadata={"help": "pull", "low": 1e-3, "high": 10.0, "log": True}
    )
    share: float = field(default=0.25, metadata={"help": "a share", "low": 0.0, "high": 1.0})
    epochs: int = field(default=3, metadata={"help": "rounds", "low": 1, "high": 1000})
    loss: str = field(default="ipo", metadata={"help": "which", "choices": ("dpo", "ipo")})
    normalize: bool = field(default=True, metadata={"help": "a token"})
    out: str = field(default="runs/a", metadata={"help": "folder"})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("beta", NumberControl),
        ("share", NumberControl),
        ("epochs", NumberControl),
        ("loss", widgets.Dropdown),
        ("normalize", widgets.Checkbox),
        ("out", widgets.Text),
    ],
)
def test_kind_value_and_help(name: str, kind: type) -> None:
    widget = control(LiveSettings(), name)
    assert isinstance(widget, kind)
    assert widget.value == getattr(LiveSettings(), name)
    assert widget.tooltip == LiveSettings.__dataclass_fields__[name].metadata["help"]
    assert f"wb-{name}" in widget._dom_classes


def test_beta_has_its_range_in_equal_ratios() -> None:
    beta: Any = control(TrainConfig().resolved(), "beta")
    assert (beta.min, beta.max, beta.log, beta.slider) == (1e-3, 10.0, True, True)


@pytest.mark.parametrize("value", [0.1, 5e-4, 0.0123, 50.0, 1e-5, 1 / 3])
def test_a_value_is_kept_exactly_and_widens_the_range(value: float) -> None:
    beta: Any = control(LiveSettings(beta=value), "beta")
    assert beta.value == value
    assert (beta.min, beta.max) == (min(1e-3, value), max(10.0, value))


@pytest.mark.parametrize(
    ("name", "loss"),
    [(name, one.name) for one in LOSSES.values() for name, range in one.parameters.items()
     if not range.log and range.low is not None],
)  # fmt: skip
def test_a_default_is_kept_exactly(name: str, loss: str) -> None:
    for value in (LOSSES[loss].defaults[name], 0.123):
        number: Any = control(TrainConfig(loss=loss, **{name: value}), name)
        assert number.value == value
        assert 50 <= (number.max - number.min) / number.step <= 1000


def test_few_whole_numbers_get_a_slider_many_are_typed() -> None:
    assert not control(LiveSettings(), "epochs").slider
    assert control(SamplingConfig(), "beams").slider


def test_every_loss_is_on_the_menu() -> None:
    assert control(TrainConfig(), "loss").options == tuple(LOSSES)


def test_sampling_settings_have_controls_too() -> None:
    assert control(SamplingConfig(), "temperature").max == 5.0
    assert control(SamplingConfig(), "seed").value == 0
