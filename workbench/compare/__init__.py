"""What training changed: models side by side in answers, tokens, probabilities and win rates.

model_handles       a model with all that running it needs, under a name
open_handles        runs, folders and names of models -> handles
streams             several models that generate in turns
answers             answers to the same prompts, as a frame of numbers
checkpoint_answers  the answers at every checkpoint of a run
tokens              both distributions at every position of a completion
probability_mass    sampled completions and their probabilities
pair_scoring        one pair from text to loss and gradient
mistakes            common mistakes in scoring a pair
win_rate            win rates with intervals, raw and at equal length
judges              the true reward and people's votes as judges
reward_judge        a reward model as a judge
endpoint            a language model behind an API as a judge
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
