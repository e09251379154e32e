"""RLHF beside DPO, trained on one set of pairs in the reviews world.

learned_reward   the reward model of the pipeline, trained on the pairs
frontier         reward against KL: runs of every method, best-of-n, the optimum itself
hacking          the learned reward rises, the true one falls
pipeline_costs   what each method keeps in memory, computes and needs set

frontier.csv, hacking.csv   rows of five seeds
"""
