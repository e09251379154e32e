"""Widgets and figures: the only place that imports ipywidgets, matplotlib and IPython."""
