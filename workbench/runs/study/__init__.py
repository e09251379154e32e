"""A sweep on disk: many runs in one folder, searched by Optuna, killed and gone on with at will.

config         what is searched by which means: sampler, seeds, metric, pruning, limit of the KL
axes           the settings that are swept: lists of values, or ranges
plan           which run has which settings
study_journal  Optuna's study in the sweep's folder
trials         who takes which run, so that none is lost and none done twice
trial_run      one run: made or gone on with, its evaluations reported, ended
study_table    all runs as one table, and which to take
study_sweep    `Sweep`, an iterator of tables
on_ray         the same runs on a Ray cluster
"""
