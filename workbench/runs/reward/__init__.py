"""What scores the completions of PPO, GRPO and best-of-n.

named_rewards   a name -> a reward: the world's own, a rule, a reward model, a Python function
"""
