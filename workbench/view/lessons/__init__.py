"""The interactive figures of the lessons: each is one call that fits into any notebook.

derivation.py    objective, optimum, implied reward and preference
descent.py       the loss of one pair, and gradient descent
beta.py          the effect of beta, and of the reference's temperature
reward_and_kl.py reward against KL
loss_shapes.py   every loss and its gradient, and the weights of pairs
choosing/        which method fits: questions, losses side by side, spread over seeds
rlhf/            RLHF beside DPO: stages, equality and its breaks, rankings, tokens
scoring.py       a typed pair, scored correctly and with mistakes
displacement.py  why a chosen answer may become less likely
failures.py      losses that fail, and losses that hold up
pretraining.py   pretraining, shown live
papers.py        published results in miniature
before_after.py  metrics before and after training
policies.py      policies as bars and tables: what the others draw with
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
