"""The command `track`: a recorded run shown in TensorBoard, W&B or Trackio."""

from __future__ import annotations

from pathlib import Path

from workbench.cli.command_settings import Track
from workbench.cli.terminal import say
from workbench.runs.trackers import following


def track(command: Track) -> None:
    """Give all events of the run to the tracker."""
    count = following.track(Path(command.source), command.to, command.folder)
    say(f"{count} events of {command.source} given to {command.to}")
