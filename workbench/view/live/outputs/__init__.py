"""Outputs of a dashboard outside of its box.

followers.py         outputs that fill themselves in when a run has ended
saved_output.py      what a saved notebook shows where the widgets are gone
"""
