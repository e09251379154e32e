"""Blind votes on pairs of answers.

vote_widget.py  buttons, keys and training on the votes
ballot.py       the questions, the votes so far, and their HTML
"""
