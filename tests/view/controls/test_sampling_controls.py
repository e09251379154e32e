"""Settings of sampling as widgets: all of them, and back again unchanged."""

from __future__ import annotations

from dataclasses import fields

import pytest

from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.view.controls.sampling_controls import SamplingControls


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingConfig(),
        SamplingConfig(
            temperature=0.35, top_k=7, top_p=0.925, min_p=0.05, top_a=0.2, seed=2**31 - 1
        ),
        SamplingConfig(temperature=0, beams=4, repetition_penalty=1.3, max_new_tokens=4096),
        SamplingConfig(contrast_alpha=0.1, stop=(" the ", "\n", "a\nb")),
        SamplingConfig(top_p=0.001),
    ],
)
def test_controls_start_at_the_settings_and_give_them_back(sampling: SamplingConfig) -> None:
    controls = SamplingControls(sampling)
    assert set(controls.widgets) == {part.name for part in fields(SamplingConfig)}
    assert controls.value == sampling


def test_what_does_not_go_together_is_refused() -> None:
    controls = SamplingControls(SamplingConfig())
    controls.widgets["beams"].value = 4
    with pytest.raises(WorkbenchError, match="temperature=1 with beams=4"):
        _ = controls.value


def test_stop_strings_are_one_a_line() -> None:
    controls = SamplingControls(SamplingConfig())
    controls.widgets["stop"].value = "\\n\n end \n\n"
    assert controls.value.stop == ("\n", " end ")


def test_temperature_length_and_seed_are_seen() -> None:
    controls = SamplingControls(SamplingConfig())
    fold = controls.fold()
    assert fold.selected_index is None
    folded = set(fold.children[0].children)
    seen = [name for name, widget in controls.widgets.items() if widget not in folded]
    assert seen == ["temperature", "max_new_tokens", "seed"]
