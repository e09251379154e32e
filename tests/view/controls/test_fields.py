"""Every field becomes the widget that its metadata calls for, at the value that it has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import ipywidgets as widgets
import pytest

from workbench.core.losses import LOSSES
from workbench.generation.config import SamplingConfig
from workbench.train.config import TrainConfig
from workbench.view.controls.fields import LOG_STEP, control


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
        ("beta", widgets.FloatLogSlider),
        ("share", widgets.FloatSlider),
        ("epochs", widgets.BoundedIntText),
        ("loss", widgets.Dropdown),
        ("normalize", widgets.Checkbox),
        ("out", widgets.Text),
    ],
)
def test_kind_value_and_help(name: str, kind: type) -> None:
    widget = control(LiveSettings(), name)
    assert type(widget) is kind
    assert widget.value == getattr(LiveSettings(), name)
    assert widget.tooltip == LiveSettings.__dataclass_fields__[name].metadata["help"]
    assert f"wb-{name}" in widget._dom_classes


def test_beta_has_its_range_and_follows_at_once() -> None:
    slider = control(TrainConfig().resolved(), "beta")
    assert slider.continuous_update
    assert 10**slider.min == pytest.approx(1e-3)
    assert 10**slider.max == pytest.approx(10.0)


@pytest.mark.parametrize("value", [0.1, 5e-4, 0.0123, 50.0, 1e-5])
def test_slider_starts_at_the_value_and_its_steps_hit_it(value: float) -> None:
    slider: Any = control(LiveSettings(beta=value), "beta")
    assert slider.value == value
    steps = (math.log10(value) - slider.min) / LOG_STEP
    assert steps == pytest.approx(round(steps), abs=1e-6)
    assert slider.min == pytest.approx(math.log10(min(1e-3, value)), abs=LOG_STEP)
    assert slider.max == pytest.approx(math.log10(max(10.0, value)))


@pytest.mark.parametrize(
    ("name", "loss"),
    [(name, one.name) for one in LOSSES.values() for name, range in one.parameters.items()
     if not range.log and range.low is not None],
)  # fmt: skip
def test_the_browser_leaves_a_default_as_it_is(name: str, loss: str) -> None:
    for value in (LOSSES[loss].defaults[name], 0.123):
        slider: Any = control(TrainConfig(loss=loss, **{name: value}), name)
        assert slider.value == value
        # The browser puts the handle on the nearest of min, min + step, min + 2 * step, ...
        steps = (value - slider.min) / slider.step
        assert slider.min + round(steps) * slider.step == pytest.approx(value, rel=1e-9)
        assert (slider.max - slider.min) / slider.step >= 50 or steps < 1.5


def test_every_loss_is_on_the_menu() -> None:
    assert control(TrainConfig(), "loss").options == tuple(LOSSES)


def test_sampling_settings_have_controls_too() -> None:
    assert control(SamplingConfig(), "temperature").max == 5.0
    assert control(SamplingConfig(), "seed").value == 0
