"""A lock on all models: one thread at a time uses them, in the order of arrival.

Computing with a model may switch its adapters off or put bf16 copies in the place of its weights.
In the middle of a training step on another thread that would stop the run, or change it silently.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MODELS, _NEXT = threading.Lock(), threading.Lock()
_held = threading.local()


@contextmanager
def model_lock() -> Iterator[None]:
    """Wait for the lock and hold it; the thread that holds it may enter again."""
    depth = getattr(_held, "depth", 0)
    if not depth:
        with _NEXT:  # held while waiting, so that a loop can't take the lock again before others
            _MODELS.acquire()
    _held.depth = depth + 1
    try:
        yield
    finally:
        _held.depth = depth
        if not depth:
            _MODELS.release()
