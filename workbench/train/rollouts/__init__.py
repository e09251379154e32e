"""Training on what the policy writes itself: PPO, GRPO, best-of-n.

rollout_method   what these methods have in common: prompts as data, metrics of completions
rollout_batches  the source of their batches: write, score, train, write again
reward_function  what scores completions, and the check of what it returns
"""
