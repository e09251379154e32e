"""Experiments in worlds small enough to enumerate: every number exact.

* `exact_sweep`: DPO for many betas and seeds, and within a fixed number of steps.
* `two_stages`: a reward fitted to pairs and its optimum, beside DPO on the same pairs.
* `token_credit`: DPO token by token, where Q* and V* are known.
"""
