"""Recorded runs that answer beside each other, opened from the table of runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets

from workbench.compare.handle_sources import handles
from workbench.runs.reopen import load_run
from workbench.train.base_model import Progress
from workbench.view.compare.ask import Asking


def answers_of(folders: Mapping[str, Path], progress: Progress) -> widgets.DOMWidget:
    """The runs in these folders, by name, to be asked; before them a reference they share."""
    runs = {name: load_run(folder, progress) for name, folder in folders.items()}
    found = {name: handles(run) for name, run in runs.items()}
    policies = [replace(policy, name=name) for name, (_, policy) in found.items()]
    shared = len({run.reference_hash for run in runs.values()}) == 1
    reference = [next(iter(found.values()))[0]] if shared else []
    first = next(iter(runs.values()))
    return Asking([*reference, *policies], "", first.shown_sampling).box
