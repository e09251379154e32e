"""Where preferences come from: votes on pairs of answers, and rounds of training on them.

votes          a file of votes, and the preference pairs that they give
questions      pairs of answers to vote on, a simulated voter, agreement with votes
iterative_dpo  rounds of answering, voting and training
round_scores   what a round changed in the answers, by true scores
kept_training  a run in a folder of its own, which goes on when it is called again
json_log       files of JSON lines that only grow, each line with a checksum
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
