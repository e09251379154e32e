"""What training changed: models side by side in answers, tokens, probabilities and win rates.

model_handles       a model with all that running it needs, under a name
handle_sources        runs, folders and names of models -> handles
streams             several models that generate in turns
answers             answers to the same prompts, as a frame of numbers
checkpoint_answers  the answers at every checkpoint of a run
tokens              both distributions at every position of a completion
probability_mass    sampled completions and their probabilities
pair_scoring        one pair from text to loss and gradient
mistakes            common mistakes in scoring a pair
failures            where losses fail: runs on data that each was warned of
ches                the pairs that are likely to displace their own chosen completion
removal             training without these pairs
comparator          a run in the forms of other tools, the LLM Comparator among them
visible             whether anyone can tell what a run on the real model changed
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
