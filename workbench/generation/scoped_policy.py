"""A policy that runs within a context, such as with its adapters switched off."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

Context = Callable[[], AbstractContextManager[object]]


class ScopedPolicy:
    """Enters the context for each forward pass alone; the module is used outside of it, too."""

    def __init__(self, model: Any, around: Context) -> None:
        self._model, self._around = model, around

    def hidden(self, *arguments: Any) -> Any:
        """As the policy's own."""
        with self._around():
            return self._model.hidden(*arguments)

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """As the policy's own."""
        with self._around():
            return self._model.head(hidden)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
