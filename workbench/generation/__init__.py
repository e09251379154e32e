"""From a model and prompts to answers.

config         the settings of sampling
sampling       greedy decoding, sampling and contrastive decoding: `generate`, `stream`, `drafts`
beam_search    the likeliest text instead of the likeliest token at each step
filters        changes to logits: top-k, top-p, min-p, top-a, repetition penalty, contrast
stops          end tokens and stop strings
decoding_rows  rows of tokens while they are decoded, with mask and cache
repetition     how much a text repeats itself
common_words   which words two texts share
scoped_policy  a policy within a context, such as with its adapters switched off
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
