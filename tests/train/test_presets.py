"""Presets: each is a valid configuration, and what is given beside one wins."""

from __future__ import annotations

import pytest

from workbench.__main__ import main
from workbench.cli.command_settings import Train
from workbench.cli.flags import parse
from workbench.errors import WorkbenchError
from workbench.train.config import PRESETS, TrainConfig, preset


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_sets_what_it_lists(name: str) -> None:
    found = PRESETS[name]
    assert found.name == name
    assert found.about
    assert preset(name) == TrainConfig(**found.settings)
    assert preset(name) != TrainConfig()


def test_given_fields_win() -> None:
    """One that equals TrainConfig's own default, too: it was given."""
    assert PRESETS["visible"].settings["model"] == "smollm2"
    assert preset("visible", model="tiny", out="runs/mine").model == "tiny"
    command = parse(["train", "--model", "tiny", "--preset", "visible", "--epochs", "9"])
    assert isinstance(command, Train)
    assert (command.model, command.epochs) == ("tiny", 9)
    assert command.lr == preset("visible").lr


def test_the_flag_gives_the_settings_of_the_preset() -> None:
    for arguments in ("train --preset visible", "train --preset=visible"):
        command = parse(arguments.split())
        assert all(getattr(command, k) == v for k, v in PRESETS["visible"].settings.items())
    command = parse(["train"])
    assert isinstance(command, Train)
    assert command.model == TrainConfig().model


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    for refused in (lambda: preset("vsible"), lambda: parse(["train", "--preset", "vsible"])):
        with pytest.raises(WorkbenchError, match=r"^preset='vsible' is unknown; accepted: .*vis"):
            refused()


@pytest.mark.parametrize("given", ["--loss simpo", "--loss orpo", "--method kto"])
def test_a_flag_that_does_not_go_with_a_preset_is_refused_and_the_preset_named(given: str) -> None:
    with pytest.raises(WorkbenchError, match=r"^with the settings of --preset visible: \w+="):
        parse(f"train --preset visible {given}".split())


def test_help_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(f"{one.name}: {one.about}" in told for one in PRESETS.values())


def test_a_resumed_run_takes_no_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "runs/none", "--preset", "visible"]) == 2
    assert "--preset can't go with --resume" in capsys.readouterr().err
