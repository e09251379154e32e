"""What helps to choose between methods.

* `decision_tree`: questions that end in a configuration.
* `loss_panels`: every loss in a panel of its own.
* `seeds_figure`: how much the runs of one setting differ.
"""
