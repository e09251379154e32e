"""The key-value cache of other people's models, with the one method that beam search asks for."""

from __future__ import annotations

from functools import cache
from typing import Any

from workbench.models.optional import optional


def empty_cache(settings: Any) -> Any:
    """A cache of `transformers` that grows as needed; `reorder(rows)` is that of `KVCache`.

    None for a model that keeps anything but keys and values.
    """
    kinds = optional("transformers.cache_utils")
    found = _reorderable()(config=settings)
    # No row grows beyond a sliding window, but padding and a row together may.
    found.layers = [
        kinds.DynamicLayer() if type(layer) is kinds.DynamicSlidingWindowLayer else layer
        for layer in found.layers
    ]
    return found if all(type(layer) is kinds.DynamicLayer for layer in found.layers) else None


@cache
def _reorderable() -> Any:
    kind = optional("transformers.cache_utils").DynamicCache
    return type("HubCache", (kind,), {"reorder": kind.reorder_cache})
