"""Whether anyone can tell what a run on the real model has changed, and what it cost.

facts            forty questions with one-word answers: what the model still knows
plain_rule       the rule that tells policy from reference by what the pairs ask for
blinded          answers without names, for a reader who is to tell the policy's
change_measures  one row of figures of a model against its reference
preset_sweep     the sweep over learning rate, beta and epochs
sweep.csv        its rows, as they came out for SmolLM2
"""
