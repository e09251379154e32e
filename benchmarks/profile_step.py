"""One training step by part, from the profiler's operators."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile, record_function

BACKWARD = "benchmark: backward"
PARTS = (
    "matrix products",
    "attention",
    "head and log-probabilities",
    "casts and copies",
    "elementwise and sums",
    "optimiser",
    "clipping",
    "the rest, Python included",
)
PRODUCTS = {"mm", "addmm", "linear", "mkldnn_linear", "mkldnn_linear_backward", "_addmm_activation"}
ATTENTION = {
    "bmm", "baddbmm", "_softmax", "_softmax_backward_data", "softmax", "masked_fill",
    "masked_fill_",
}  # fmt: skip
COPIES = {
    "copy_", "_to_copy", "to", "clone", "contiguous", "cat", "stack", "repeat", "index",
    "index_put_", "_index_put_impl_", "index_select", "index_add_", "embedding", "fill_", "zero_",
    "slice_backward", "_reshape_alias", "narrow_copy",
}  # fmt: skip


def by_part(step: Callable[[], object], vocab_size: int) -> dict[str, float]:
    """Seconds of one step in each of `PARTS`; `step` takes it.

    Operators are told apart by name, those that meet the vocabulary by their shapes. What comes
    after the last backward pass is clipping until AdamW first writes, and the optimiser from there.
    What no operator claims is Python.
    """
    backward = torch.autograd.backward

    def marked_backward(*given: Any, **named: Any) -> None:
        with record_function(BACKWARD):
            backward(*given, **named)

    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else it tells of its start and end
    on_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with (
        patch("torch.autograd.backward", marked_backward),
        profile(activities=activities, record_shapes=True) as found,
    ):
        begin = time.perf_counter()
        step()
        whole = time.perf_counter() - begin
    seconds = dict.fromkeys(PARTS, 0.0)
    for event, part in _with_parts(found.events(), vocab_size):
        took = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[part] += took / 1e6
    seconds[PARTS[-1]] += max(0.0, whole - sum(seconds.values()))
    return seconds


def _with_parts(events: Any, vocab_size: int) -> Iterator[tuple[Any, str]]:
    """Every operator with its part."""
    backward_end = max(event.time_range.end for event in events if event.name == BACKWARD)
    writes = [event.time_range.start for event in events if "adam" in event.name]
    for event in events:
        if not event.name.startswith("aten::"):
            continue
        begin = event.time_range.start
        if begin < backward_end:
            name = event.name.removeprefix("aten::")
            yield event, _part(name, event.input_shapes, vocab_size)
        else:
            yield event, "clipping" if begin < min(writes, default=0.0) else "optimiser"


def _part(name: str, shapes: list[list[int]], vocab_size: int) -> str:
    if "embedding" not in name and any(vocab_size in shape for shape in shapes):
        return "head and log-probabilities"
    if name in ATTENTION or "attention" in name:
        return "attention"
    if name in PRODUCTS:
        return "matrix products"
    return "casts and copies" if name in COPIES else "elementwise and sums"
