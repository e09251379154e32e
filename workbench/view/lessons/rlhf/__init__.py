"""RLHF beside DPO.

* `pipeline`: what is trained, from what, on either way.
* `broken_equality`: two exact stages and DPO, and where they come apart.
* `frontier_figures`: reward against KL of trained runs; the learned reward and the true one.
* `rankings`: a ranking of several answers as a sequence of choices.
* `token_tree`: values and implicit rewards token by token.
"""
