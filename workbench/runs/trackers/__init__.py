"""Runs shown in TensorBoard, W&B and Trackio, under the names that TRL's runs have there.

* `adapters`: what the three have in common, and how each is written to.
* `following`: the events of a run given to one of them, live or afterwards.
"""
