"""Widgets that a person sets, and output below a cell.

explorer.py           a picture or HTML below its controls
fields.py             the widget for a field of a configuration
number.py             a slider and a field that set one number exactly
sampling_controls.py  the widgets for all fields of `SamplingConfig`
view_box.py           the box around a view
keys.py               keeps pressed keys from the notebook
picture.py            a picture with a description
presets.py            named settings to start from
progress.py           progress in one line
awaited.py            what goes on elsewhere and can be waited for
watch.py              an iteration shown while it goes on
"""
