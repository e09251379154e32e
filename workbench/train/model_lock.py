"""Who may use models now: one thread at a time, in the order in which they came.

Asking a model switches its adapters off or puts bf16 copies in the place of its weights. In the
middle of somebody else's training step that would stop the run, or change it in silence.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MODELS, _NEXT = threading.Lock(), threading.Lock()
_held = threading.local()


@contextmanager
def model_lock() -> Iterator[None]:
    """Wait for one's turn, and hold it; whoever holds it may enter again."""
    depth = getattr(_held, "depth", 0)
    if not depth:
        with _NEXT:  # held while waiting, so that a loop can't take its turn again before others
            _MODELS.acquire()
    _held.depth = depth + 1
    try:
        yield
    finally:
        _held.depth = depth
        if not depth:
            _MODELS.release()
