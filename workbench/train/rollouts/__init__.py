"""Training on what the policy writes itself: PPO, GRPO, best-of-n.

rollout_method   what these methods have in common: prompts as data, metrics of completions
rollout_batches  the source of their batches: write, score, train, write again
rollout_tables   what is measured of completions when they were written
reward_function  what scores completions, and the check of what it returns
"""
