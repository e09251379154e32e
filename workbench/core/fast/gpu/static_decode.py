"""`decode_step` from buffers that stay in place, so that a GPU replays it as one CUDA graph.

A step of a small model is hundreds of short operations, and starting them takes longer than they
do. A graph starts all at once, but reads and writes the same memory each time: the new token, its
position, what it may attend to and where its keys go are buffers here, and attention reads the
cache's whole length, masked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.core.attention import KVCache
from workbench.core.fast.decode_step import DecodeStep, decodes_by_steps
from workbench.core.transformer import Transformer


def decode_step(policy: Any, cache: Any, rows: int) -> StaticDecodeStep | None:
    """One for this model; None unless it is our decoder, without adapters."""
    return StaticDecodeStep(policy, cache, rows) if decodes_by_steps(policy, cache) else None


class StaticDecodeStep(DecodeStep):
    """`DecodeStep` with all that changes in buffers; a graph where the weights are on a GPU."""

    def __init__(self, policy: Transformer, cache: KVCache, rows: int) -> None:
        super().__init__(policy, cache, rows)
        self._held: Tensor | None = None  # the cache's first buffer, as it was last seen
        self._replay: Any = None
        self._out: Tensor | None = None

    @torch.no_grad()
    def __call__(self, tokens: Tensor, positions: Tensor, visible: Tensor | None) -> Tensor:
        """See `DecodeStep`; the logits are a copy, which the next step leaves alone."""
        held, end = self._cache.buffers(0)[0], self._cache.length + 1
        if held is not self._held:  # the first step, or the number of rows has changed
            self._held, self._replay = held, None
            self._tokens, self._positions = tokens.clone(), positions.clone()
            self._index = torch.zeros(1, dtype=torch.long, device=tokens.device)
            shape = len(tokens), held.shape[2]
            self._visible = torch.zeros(shape, dtype=torch.bool, device=tokens.device)
        self._tokens.copy_(tokens)
        self._positions.copy_(positions)
        self._index.fill_(end - 1)
        self._visible[:, :end] = True if visible is None else visible
        self._run()
        self._cache.length = end
        assert self._out is not None
        return self._out.clone()

    def _run(self) -> None:
        if self._replay is not None:
            self._replay()
            return
        with torch.autocast(self._tokens.device.type, enabled=False):
            if not self._tokens.is_cuda:
                self._compute()
                return
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):  # libraries set themselves up; no graph may hold that
                self._compute()
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            # Noted, not computed; another thread may be sending the next batch meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._compute()
        self._replay = graph.replay
        graph.replay()

    def _compute(self) -> None:
        self._out = self._step(self._tokens, self._positions, self._visible)

    def _store(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        stored = self._cache.buffers(layer)
        for buffer, new in zip(stored, (keys, values), strict=True):
            buffer.index_copy_(2, self._index, new)
        return stored
