"""A decoder of the library x-transformers as a policy.

The library has some two hundred options. Which of them allow two completions in one row, or a
cache beside padding, changes with its versions. So a decoder is not judged by its options: when it
is wrapped, a few rows of tokens are computed in each way that is to be offered, and compared with
plain rows.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from workbench.core.batch import Packed, Pair
from workbench.core.collation import collate
from workbench.core.fast.fast_kernels import FAST
from workbench.core.logps import completion_logps
from workbench.core.policy import Policy
from workbench.errors import WorkbenchError

UNLIMITED = 131_072  # tokens, where the wrapper was made without a longest sequence
TOLERANCE = 1e-4  # relative to the largest value; a wrong mask or position is off by far more


class DecoderCache:
    """What the library keeps of the tokens read so far."""

    state: Any = None

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes a copy of row `rows[i]`, (row,), as in `KVCache`."""
        for layer in self.state.attn_intermediates:
            layer.cached_kv = tuple(
                part if part is None else part[rows] for part in layer.cached_kv
            )


class XTransformersPolicy(Policy):
    """A `TransformerWrapper` around a `Decoder` as a `Policy`.

    Dropout stays off, also in training: otherwise policy and reference would differ at random.

    Args:
        wrapper: trained in place. It needs one head over the vocabulary, and tokens as its only
            input.
        arguments: those that the wrapper was made with, `attn_layers` being those of its `Decoder`;
            only `save_model` needs them.

    Attributes:
        max_length: the wrapper's `max_seq_len`.
        supports_branches: whether a row may hold two completions after one prompt: not with
            learned absolute positions, which allow no row longer than `max_seq_len`, nor with
            position biases that know nothing of the positions given.
        supports_cache: whether the library's cache gives the same, beside padding too.

    Raises:
        WorkbenchError: the wrapper looks ahead, has another kind of head, or needs other inputs.
    """

    kernels = FAST
    checkpoint_format = "x_transformers"

    def __init__(self, wrapper: Any, arguments: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        if not hasattr(wrapper, "to_logits"):
            raise WorkbenchError(f"wrapper={wrapper!r:.60} is no TransformerWrapper; give one")
        self.model = wrapper.eval()
        self.arguments = arguments
        self.max_length = wrapper.max_seq_len or UNLIMITED
        # A tied head is a function that belongs to the wrapper it was made in: in a deep copy, such
        # as a reference, it goes on with the weights of the original. `head` takes the copy's own.
        self._tied = not isinstance(wrapper.to_logits, nn.Module)
        self.supports_branches = self.supports_cache = False
        with torch.no_grad():
            probe = self._disturbed()
            self._check(probe)
            if not hasattr(wrapper.pos_emb, "max_seq_len"):  # that of learned positions
                probe.supports_branches = True
                self.supports_branches = _holds(probe._branches_agree)
                probe.supports_branches = self.supports_branches
            self.supports_cache = wrapper.can_cache_kv and _holds(probe._cache_agrees)
        self.layouts = (
            ("stacked", "packed", "shared_prefix") if self.supports_branches else ("stacked",)
        )

    @property
    def recompute(self) -> bool:
        """Always False: the library keeps its activations."""
        return False

    @recompute.setter
    def recompute(self, on: bool) -> None:
        if on:
            raise WorkbenchError(
                "recompute=True is not accepted: x-transformers keeps its activations; use False"
            )

    def train(self, mode: bool = True) -> XTransformersPolicy:
        """Set the mode of this module, not of the wrapped model, whose dropout stays off."""
        self.training = mode
        return self

    @property
    def vocab_size(self) -> int:
        """The number of tokens that the wrapper was made for."""
        return self.model.num_tokens

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | Packed | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """Last hidden states (row, pos, dim) of `tokens` (row, pos); see `Policy.hidden`.

        `positions` count where a mask is given and branches are supported; else they follow from
        the padding on the left.
        """
        if isinstance(mask, Packed):
            mask = mask.dense(tokens.device)
        if cache is not None:
            return self._continue(tokens, mask, cache)
        if mask is None:
            return self._states(tokens)
        if self.supports_branches:
            mask = rearrange(mask, "row query key -> row 1 query key")
            return self._states(tokens, attn_mask=mask, pos=positions)
        # Rolled to the left, the padding comes behind all that is read, and causal order hides it.
        start, index = self._start(mask)[:, None], torch.arange(tokens.shape[1]).to(tokens.device)
        rolled = tokens.take_along_dim((index + start) % len(index), 1)
        states = self._states(rolled[:, : self.max_length])
        back = (index - start).clamp(0, states.shape[1] - 1)
        return states.take_along_dim(back[..., None], 1)

    def _states(self, tokens: Tensor, **options: Any) -> Any:
        return self.model(tokens, return_embeddings=True, **options)

    def _continue(self, tokens: Tensor, mask: Tensor | None, cache: DecoderCache) -> Tensor:
        states, cache.state = self._states(
            tokens,
            return_intermediates=True,
            cache=cache.state,
            input_not_include_cache=True,
            cache_age=tokens.shape[1],
            seq_start_pos=None if mask is None else self._start(mask),
        )
        return states

    def _start(self, mask: Tensor) -> Tensor:
        """(row,) where each row begins behind its padding.

        A row that has ended is still filled up and may become too long: it begins later then.
        """
        visible = mask[:, -1]  # (row, key)
        start, index = (~visible).sum(-1), torch.arange(visible.shape[1], device=visible.device)
        if not torch.equal(visible, index >= start[:, None]):
            raise WorkbenchError(
                "branches in one row do not work with this model; use stacked rows"
            )
        return start.clamp(min=len(index) - self.max_length)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., dim)."""
        if not self._tied:
            return self.model.to_logits(hidden)
        scale = getattr(self.model, "tie_embedding_scale", 1.0)  # older versions have none
        return F.linear(hidden, self.model.token_emb.emb.weight) * scale

    def new_cache(self, rows: int, max_length: int) -> DecoderCache | None:
        """An empty cache, which grows as needed; None where the library's gives something else."""
        return DecoderCache() if self.supports_cache else None

    # -- what it can do ---------------------------------------------------------------------------

    def _check(self, probe: XTransformersPolicy) -> None:
        """That hidden states and head give the wrapper's own logits, and nothing looks ahead."""
        tokens = self._sample(2, 6)
        try:
            logits = self.logits(tokens)
            same = logits.shape[-1] == self.vocab_size and _close(logits, self.model(tokens))
            causal = _close(probe.logits(tokens)[:, :4], probe.logits(tokens[:, :4]))
        except Exception as error:  # the library's own errors share no narrower class
            reason = one_line(error)
            raise WorkbenchError(f"the wrapper takes no rows of tokens: {reason}") from error
        if not torch.isfinite(logits).all():
            raise WorkbenchError("the wrapper's weights give logits that are not finite")
        if not same or not causal:
            what = "looks ahead" if same else "has no head that gives one logit per token"
            raise WorkbenchError(f"the wrapper {what}; accepted: a Decoder's, with one head")

    def _disturbed(self) -> XTransformersPolicy:
        """A copy with noise on its weights: those that begin at zero would hide a wrong mask."""
        probe, generator = copy.deepcopy(self).float(), torch.Generator().manual_seed(0)
        for weight in probe.parameters():
            noise = torch.randn(weight.shape, generator=generator).to(weight.device)
            weight.add_(noise, alpha=weight.shape[-1:].numel() ** -0.5)
        return probe

    def _sample(self, *shape: int) -> Tensor:
        """Any tokens, all different in a large vocabulary."""
        tokens = torch.arange(1, math.prod(shape) + 1) * 7919 % self.vocab_size
        return tokens.reshape(shape).to(next(self.parameters()).device)

    def _branches_agree(self) -> bool:
        ids = self._sample(2, 9).tolist()
        pairs = [Pair(tuple(row[:3]), tuple(row[3:5]), tuple(row[5:])) for row in ids]
        device = next(self.parameters()).device
        plain, *others = (
            completion_logps(self, collate(pairs, 0, layout).to(device))
            for layout in ("stacked", "packed", "shared_prefix")
        )
        return all(_close(other, plain) for other in others)

    def _cache_agrees(self) -> bool:
        """Padded rows, reordered after four tokens: the same states as each row alone."""
        tokens, padding, order = self._sample(3, 6), torch.tensor([0, 2, 1]), [2, 0, 1]
        mask = torch.arange(6) >= padding[:, None, None]  # (row, 1, key)
        mask, rows = mask.to(tokens.device), torch.tensor(order, device=tokens.device)
        cache = DecoderCache()
        self.hidden(tokens[:, :4], None, mask[..., :4], cache)
        cache.reorder(rows)
        for end in (5, 6):
            states = self.hidden(tokens[rows, end - 1 : end], None, mask[rows, :, :end], cache)
        alone = [self.hidden(tokens[row, None, padding[row] :])[:, -1] for row in order]
        return _close(states[:, -1], torch.cat(alone))


def _holds(check: Callable[[], bool]) -> bool:
    """What a check finds; False where the library refuses to compute it."""
    with suppress(Exception):  # its errors, assertions most of them, share no narrower class
        return check()
    return False


def _close(ours: Tensor, expected: Tensor) -> bool:
    return bool((ours - expected).abs().max() <= TOLERANCE * expected.abs().max())


def one_line(error: Exception) -> str:
    """An error's text in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
