"""The key-value cache of hub models, with the method `reorder` that beam search needs."""

from __future__ import annotations

import functools
from typing import Any

from workbench.models.optional import optional


def empty_cache(settings: Any) -> Any:
    """A cache of `transformers` that grows as needed; `reorder(rows)` is that of `KVCache`.

    None for a model whose cache holds anything but keys and values.
    """
    kinds = optional("transformers.cache_utils")
    cache = _reorderable()(config=settings)
    # A row stays within its sliding window, but padding and row together may not.
    cache.layers = [
        kinds.DynamicLayer() if type(layer) is kinds.DynamicSlidingWindowLayer else layer
        for layer in cache.layers
    ]
    return cache if all(type(layer) is kinds.DynamicLayer for layer in cache.layers) else None


@functools.cache
def _reorderable() -> Any:
    kind = optional("transformers.cache_utils").DynamicCache
    return type("HubCache", (kind,), {"reorder": kind.reorder_cache})
