"""Which method fits: what each needs and costs, and the questions that decide.

* `method_costs`: one row per loss, counted while it trains.
* `decision_tree`: what a tree of questions is, and what can be read of it.
* `method_questions`: the questions, and the configuration that each path ends in.
"""
