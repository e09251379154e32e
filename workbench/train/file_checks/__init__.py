"""A file of pairs looked through for a model that is named.

check_file  what its texts and tokens show, and what the model's own pass adds
other_kinds what a file holds that has no pairs
model_pass  how likely the model finds the completions of some pairs
"""
