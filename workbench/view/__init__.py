"""Widgets and figures: the only place that imports ipywidgets, matplotlib and IPython."""

from workbench.view.compare import show, side_by_side
from workbench.view.dashboard import dashboard
from workbench.view.told import Told

__all__ = ["Told", "dashboard", "show", "side_by_side"]
