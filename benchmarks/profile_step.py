"""One training step by part, from the profiler's operators."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile, record_function

BACKWARD, OPTIMIZER = "benchmark: backward", "benchmark: optimiser"
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


def by_part(step: Callable[[], object], optimizer: Any, vocab_size: int) -> dict[str, float]:
    """Seconds of one step in each of `PARTS`; `step` takes it.

    Operators are told apart by name, those that meet the vocabulary by their shapes, and those
    after the backward pass by whether the optimiser calls them. What no operator claims is Python.
    """
    backward, update = torch.autograd.backward, optimizer.step

    def marked_backward(*given: Any, **named: Any) -> None:
        with record_function(BACKWARD):
            backward(*given, **named)

    def marked_update(*given: Any, **named: Any) -> Any:
        with record_function(OPTIMIZER):
            return update(*given, **named)

    on_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with (
        patch("torch.autograd.backward", marked_backward),
        patch.object(optimizer, "step", marked_update),
        profile(activities=activities, record_shapes=True) as found,
    ):
        begin = time.perf_counter()
        step()
        whole = time.perf_counter() - begin
    seconds = dict.fromkeys(PARTS, 0.0)
    for event, part in _sorted(found.events(), vocab_size):
        seconds[part] += (
            event.self_device_time_total if on_gpu else event.self_cpu_time_total
        ) / 1e6
    seconds[PARTS[-1]] += max(0.0, whole - sum(seconds.values()))
    return seconds


def _sorted(events: Any, vocab_size: int) -> list[tuple[Any, str]]:
    """Every operator with its part; our own marks are left out, for they last as long as others."""
    marks = [event for event in events if event.name in (BACKWARD, OPTIMIZER)]
    ends = [event.time_range.end for event in marks if event.name == BACKWARD]
    updates = [event.time_range for event in marks if event.name == OPTIMIZER]
    sorted_events = []
    for event in events:
        if event in marks or not event.name.startswith("aten::"):
            continue
        begin = event.time_range.start
        if begin < max(ends):
            part = _part(event.name.removeprefix("aten::"), event.input_shapes, vocab_size)
        else:
            inside = any(update.start <= begin <= update.end for update in updates)
            part = "optimiser" if inside else "clipping"
        sorted_events.append((event, part))
    return sorted_events


def _part(name: str, shapes: list[list[int]], vocab_size: int) -> str:
    if "embedding" not in name and any(vocab_size in shape for shape in shapes):
        return "head and log-probabilities"
    if name in ATTENTION or "attention" in name:
        return "attention"
    if name in PRODUCTS:
        return "matrix products"
    return "casts and copies" if name in COPIES else "elementwise and sums"
