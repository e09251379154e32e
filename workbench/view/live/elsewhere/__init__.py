"""Runs that other processes train, in the dashboard: read from their folders, no model is loaded.

followed_run.py   one of them, as its folder tells
follower.py       the thread that looks for what is new and asks for changes
follow_actions.py what the dashboard does with it
"""
