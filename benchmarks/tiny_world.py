"""From a fresh process to a trained policy beside its reference, in the embedded world.

    python benchmarks/tiny_world.py

The settings are those of notebooks/04_train_dpo.ipynb; the base model is made anew, in a cache of
its own.
"""

from __future__ import annotations

import os
import time
from tempfile import TemporaryDirectory

BEGIN = time.perf_counter()


def main() -> None:
    """Measure and print."""
    from workbench.data.reviews.config import ReviewsConfig
    from workbench.runs.run import Run
    from workbench.train.base_model import tiny_base
    from workbench.train.config import TrainConfig

    world = ReviewsConfig(pairs=4096, label_scale=8)
    base = tiny_base(world)
    print(f"base model: {time.perf_counter() - BEGIN:.1f} s after the start, imports included")
    config = TrainConfig(beta=1.25, lr=5e-4, epochs=3, samples=256, world=world)
    run = Run.create(config, base=base)
    now = time.perf_counter() - BEGIN
    print(f"{len(run.data.train)} + {len(run.data.held_out)} pairs: {now:.1f} s")
    for _ in run:
        pass
    run.sample(run.prompts)
    print(f"trained, policy beside reference: {time.perf_counter() - BEGIN:.1f} s")
    means = run.samples_frame(512).groupby("who")[["reward", "grammatical", "words"]].mean()
    print(means.loc[["reference", "policy"]].round(3).to_string())


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        os.environ["WORKBENCH_CACHE"] = folder
        main()
