"""Preference pairs: from a file, shipped with the package, or from a world with a known reward.

pairs      pairs as text: read, written, encoded as token ids
layouts    the column layouts of preference files, and where rows come from
encoding   texts, and conversations of several turns, as token ids
foreign    what comes from strangers, kept within limits
preflight  what is wrong in a file
large      sources with too many rows to hold in memory
json_rows  JSON and JSONL files
split      train and held-out parts without shared prompts or topics
tokenizer  text to token ids and back
chat       a model's chat template
cache      the user's cache folder, and atomic writes
seals      SHA-256 of what was written, and what is damaged
reviews    the reviews world
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
