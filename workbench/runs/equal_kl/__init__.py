"""Training methods compared at an equal distance from the reference.

At equal settings one method may simply have moved farther than another. So every method is trained
at several strengths, and the methods are compared where their KL to the reference is the same.

* `method_comparison`: `compare_methods` and its result.
* `planned_runs`: which runs a comparison has, and their rows on disk.
* `side_by_side`: the runs that are missing, trained in several processes.
* `readings`: what a method reaches at a given KL, from its runs.
* `intervals`: t-intervals, and which methods they tell apart.
"""
