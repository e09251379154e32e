"""Device and number format: bf16 where the processor or GPU is measured to gain by it."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache

import torch
from torch import nn

from workbench.core.fast.bf16_weights import BF16Weights
from workbench.core.policy import Policy
from workbench.errors import WorkbenchError
from workbench.train.distributed import from_main, is_sharded

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
LARGE = 2_000_000  # parameters from which bf16 and several threads pay


def pick_device(device: str) -> str:
    """`auto` becomes cuda, mps or cpu, the first that is there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next((name for name, there in available.items() if there), "cpu")
    if not available.get(device, device == "cpu"):
        raise WorkbenchError(f"device={device!r} is not on this machine; use auto or cpu")
    return device


@cache
def bf16_gain(device: str) -> float:
    """How many times faster a bf16 matrix product is than a float32 one here; takes about 0.1 s."""
    generator = torch.Generator().manual_seed(0)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        left = torch.randn(512, 768, generator=generator).to(device, dtype)
        right = torch.randn(768, 768, generator=generator).to(device, dtype)
        rounds = []
        for _ in range(12):
            begin = time.perf_counter()
            float((left @ right)[0, 0])  # reading a value waits for the device
            rounds.append(time.perf_counter() - begin)
        seconds[dtype] = sorted(rounds)[3]
    return seconds[torch.float32] / seconds[torch.bfloat16]


def pick_precision(precision: str, device: str, policy: nn.Module) -> str:
    """`auto` becomes bf16 for models large enough, where a product gains at least a third.

    Of several processes the main one measures it.
    """
    if precision != "auto":
        return precision
    pays = is_large(policy) and from_main(lambda: bf16_gain(device) > 4 / 3)
    return "bf16" if pays else "float32"


@cache
def _all_threads() -> int:
    return torch.get_num_threads()


def is_large(policy: nn.Module) -> bool:
    """Whether bf16, several threads and care for memory pay."""
    return sum(parameter.numel() for parameter in policy.parameters()) >= LARGE


def set_threads(policy: nn.Module) -> None:
    """One processor thread for small models, all for large ones.

    Threads that share products this small wait for each other longer than they compute, and the
    other cores are wanted by the page that shows the run.
    """
    every = _all_threads()
    torch.set_num_threads(every if is_large(policy) else 1)


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """Products in bf16, sums and log-probabilities in float32, where `precision` is "bf16"."""
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16")


def bf16_weights(policy: nn.Module, device: str, precision: str) -> BF16Weights | None:
    """The policy's matrices in bf16, on a processor that is to compute with them.

    Not for shards: their wrapper exchanges the weights itself, and autocast rounds them.
    """
    if precision != "bf16" or torch.device(device).type != "cpu" or not isinstance(policy, Policy):
        return None
    return None if policy.kernels.plain or is_sharded(policy) else BF16Weights(policy)


@contextmanager
def computing(policy: nn.Module, device: str, precision: str) -> Iterator[None]:
    """The context in which a model is computed without being trained."""
    copies = bf16_weights(policy, device, precision)
    with autocast(device, precision), copies.active() if copies else nullcontext():
        yield


def return_free_memory() -> None:
    """Give memory that is free, but still held by the C library, back to the system.

    Training and evaluation leave holes of different sizes behind; unreturned, they add up to a
    gigabyte for a model of 135 million parameters. Does nothing where the C library can't.
    """
    _c_library("malloc_trim", 0)


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for the next step, instead of handing it back.

    Every step frees and takes the same memory. Handed back each time, its pages have to be made
    anew, a tenth of a step of a model of 135 million parameters. The few blocks that are larger
    than a vocabulary's in bf16 still go back, for they would leave holes; `return_free_memory`
    hands back the rest where it is not wanted for a while.
    """
    for limit in (32 << 20, 64 << 20):  # older C libraries refuse the second
        _c_library("mallopt", M_MMAP_THRESHOLD, limit)
    _c_library("mallopt", M_TRIM_THRESHOLD, 2**31 - 1)


def _c_library(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            getattr(ctypes.CDLL(None), function)(*arguments)


def peak_memory_bytes(device: str = "cpu") -> int:
    """The most memory held so far: the GPU's where one is used, else the process's resident set."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
