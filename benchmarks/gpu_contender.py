"""The workbench as a contender on a GPU, with some of what it does there switched off."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

from benchmarks import ours
from benchmarks.contender import Turns, serve
from workbench.core.fast.gpu.gpu_kernels import PATHS, kernels_for

# What a GPU has besides `PATHS`; it changes no number, so no setting switches it off.
ALWAYS = {
    "fused": "AdamW in one pass over all weights",
    "ahead": "batches made and pinned while the GPU computes",
}


def switch_off(names: list[str]) -> None:
    """For as long as this process lives."""
    import torch

    without = [name for name in names if name in PATHS]

    def chosen(name: str, policy: Any, device: str, *_: Any) -> Any:
        return kernels_for("unmeasured" if name == "fast" else name, policy, device, without)

    patch("workbench.runs.prepare.kernels_for", chosen).start()
    patch("benchmarks.ours.kernels_for", chosen).start()
    if "fused" in names:
        plain = torch.optim.AdamW
        patch("torch.optim.AdamW", lambda *a, fused, **b: plain(*a, **b)).start()
    if "ahead" in names:
        patch("workbench.train.loop.each_step", one_by_one).start()


def one_by_one(source: Any, policy: Any, steps: int, device: str) -> Iterator[list[Any]]:
    """`train.batches.each_step`, each step's batches made when it begins."""
    for _ in range(steps):
        yield [batch.to(device) for batch in source.next(policy)]


def off(work: Any, setting: dict[str, Any], turns: Turns) -> None:
    """Work with `setting["without"]` switched off."""
    switch_off(setting["without"])
    work(setting, turns)


if __name__ == "__main__":
    serve(partial(off, {"train": ours.train, "answer": ours.answer}[sys.argv[1]]))
