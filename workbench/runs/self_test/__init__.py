"""A run looked through before its first step.

self_test   the checks of a run, and the card of its reference
checks      on a few rows: rewards, loss, gradients, dropout
token_ends  of all rows: how prompts begin, and how completions end
result      what was found, in one line and as JSON
"""
