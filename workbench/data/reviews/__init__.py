"""The reviews world: short reviews with a known grammar and a known reward.

config      its settings
grammar     the rules, a sampler and an exact parser
likelihood  the exact probability of a text under the grammar
world       prompts, true reward, labelled preference pairs
"""
