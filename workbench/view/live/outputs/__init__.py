"""Outputs of a dashboard beside its runs.

announcer.py         tells screen readers what has changed
followers.py         outputs that fill themselves in when a run has ended
press_guard.py       says in the browser that a press waits for the kernel
saved_output.py      what a saved notebook shows where the widgets are gone
"""
