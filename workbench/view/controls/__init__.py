"""Widgets that a person sets, and output below a cell.

explorer.py           a picture or HTML below its controls
fields.py             the widget for a field of a configuration
sampling_controls.py  the widgets for all fields of `SamplingConfig`
progress.py           progress in one line
watch.py              an iteration shown while it goes on
"""
