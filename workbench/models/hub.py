"""Any Hugging Face causal LM as a policy.

`transformers` comes with the extra `hub` and is imported where it is used. When a model is wrapped,
a few tokens show that head and hidden states give its own logits, and whether it follows an
attention mask over queries and keys.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from workbench.core.batch import Packed
from workbench.core.fast.fast_kernels import FAST
from workbench.core.policy import Policy
from workbench.errors import WorkbenchError
from workbench.models.optional import optional

TOLERANCE = 1e-3  # of logits, relative to the largest; a wrong head or mask is off by far more

LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len")
CACHES = ("cache", "past_key_values")  # the argument's name from transformers 5.24 on, and before

# Changes that some models make to the logits after the output embeddings, by setting.
AFTER_HEAD: dict[str, Callable[[Tensor, float], Tensor]] = {
    "final_logit_softcapping": lambda logits, cap: cap * (logits / cap).tanh(),  # Gemma 2
    "logits_scaling": lambda logits, scale: logits / scale,  # Granite
    "logit_scale": lambda logits, scale: logits * scale,  # Cohere
}


class HubPolicy(Policy):
    """A Hugging Face causal LM as a `Policy`.

    Dropout stays off, also in training: otherwise policy and reference would differ at random.

    Attributes:
        max_length: the longest sequence, in tokens, at most the sliding window: with our masks,
            positions beyond it would attend to more than in the model's training.
        supports_branches: whether a row may hold two completions after one prompt. A model that
            only takes masks over keys still trains on stacked rows and supports left padding. Not
            tried where the model has no weights, on the meta device.
        layouts: packed rows are slower here than shared prefixes, because these models compute
            attention between all tokens of a row, masked or not.

    Raises:
        WorkbenchError: head and hidden states don't give the model's own logits.
    """

    kernels = FAST
    checkpoint_format = "transformers"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval()
        self.settings = model.config.get_text_config()
        self.max_length = _max_length(self.settings)
        self._accepted = set(inspect.signature(self._body().forward).parameters)
        self._cache_argument = next((name for name in CACHES if name in self._accepted), "")
        self._takes_boolean_masks = (
            model.config._attn_implementation == "sdpa"
        )  # eager attention adds its mask
        # transformers 5 renamed it and warns about the old name.
        renamed = hasattr(model, "activation_checkpointing_enable")
        self._checkpointing = f"{'activation' if renamed else 'gradient'}_checkpointing"
        self._recomputing: list[nn.Module] = []
        self.supports_branches = True
        if model.device.type != "meta":
            with torch.no_grad():
                self._check_head()
                self.supports_branches = self._follows_masks()

    @property
    def layouts(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of its rows; see above."""
        return ("stacked", "packed", "shared_prefix") if self.supports_branches else ("stacked",)

    @property
    def recompute(self) -> bool:
        """Whether blocks keep only their inputs; see `Transformer.recompute`."""
        return getattr(self.model, f"is_{self._checkpointing}")

    @recompute.setter
    def recompute(self, on: bool) -> None:
        if on:
            getattr(self.model, f"{self._checkpointing}_enable")({"use_reentrant": False})
        elif self.recompute:
            getattr(self.model, f"{self._checkpointing}_disable")()
        found = [part for part in self.model.modules() if hasattr(part, "gradient_checkpointing")]
        self._recomputing = found if on else []
        for part in found:  # sets the mode of blocks only; dropout stays off
            part.training = on

    def train(self, mode: bool = True) -> HubPolicy:
        """Set the mode of this module, not of the wrapped model, whose dropout stays off."""
        self.training = mode
        return self

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | Packed | None = None,
        cache: Any | None = None,
    ) -> Tensor:
        """Last hidden states (row, pos, dim) of `tokens` (row, pos); see `Transformer.hidden`."""
        options: dict[str, Any] = {"use_cache": cache is not None}
        if isinstance(mask, Packed):
            mask = mask.dense(tokens.device)
        if cache is not None:
            options[self._cache_argument] = cache
        if mask is not None and self.supports_branches:
            mask = rearrange(mask, "row query key -> row 1 query key")
            options["attention_mask"] = mask if self._takes_boolean_masks else self._bias(mask)
        elif mask is not None:
            options["attention_mask"] = mask[:, -1].long()  # (row, key), the last query's mask
        if positions is not None and "position_ids" in self._accepted:
            options["position_ids"] = positions
        with self._filling() if cache is not None else nullcontext():
            return self._body()(input_ids=tokens, **options).last_hidden_state

    @contextmanager
    def _filling(self) -> Iterator[None]:
        """Within it a cache is filled: parts that recompute leave it as it was."""
        for part in self._recomputing:
            part.training = False
        try:
            yield
        finally:
            for part in self._recomputing:
                part.training = True

    def _bias(self, mask: Tensor) -> Tensor:
        """The mask as a bias of the attention scores: 0, or the lowest number."""
        bias = torch.zeros(mask.shape, dtype=self.model.dtype, device=mask.device)
        return bias.masked_fill(~mask, torch.finfo(bias.dtype).min)

    @property
    def vocab_size(self) -> int:
        """The number of tokens that the head has logits for."""
        return self.settings.vocab_size

    @property
    def dim(self) -> int:
        """Size of a hidden state, as the head takes it."""
        return self.model.get_output_embeddings().weight.shape[-1]

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., dim)."""
        logits = self.model.get_output_embeddings()(hidden)
        for name, change in AFTER_HEAD.items():
            if value := getattr(self.settings, name, None):
                logits = change(logits, value)
        return logits

    def new_cache(self, rows: int, max_length: int) -> Any:
        """An empty cache, which grows as needed; None where the model uses another kind."""
        return _empty_cache(self.settings) if self._cache_argument else None

    def _body(self) -> nn.Module:
        """The model without its head."""
        body = self.model.base_model
        return self.model.model if body is self.model else body

    def _sample_tokens(self, *shape: int) -> Tensor:
        tokens = (
            torch.arange(1, math.prod(shape) + 1, device=self.model.device) * 7919
        )  # any tokens do
        return (tokens % self.model.get_input_embeddings().num_embeddings).reshape(shape)

    def _check_head(self) -> None:
        tokens = self._sample_tokens(1, 6)
        if not _close(self.head(self.hidden(tokens)), self.model(input_ids=tokens).logits):
            raise WorkbenchError(
                f"{type(self.model).__name__} changes its logits after the head in a way that is "
                f"not supported; supported: {', '.join(AFTER_HEAD)}"
            )

    def _follows_masks(self) -> bool:
        """Whether two branches after one prompt give the same as two separate rows."""
        prompt, sides = self._sample_tokens(1, 3), self._sample_tokens(2, 4)[:, 2:]
        row = torch.cat([prompt, sides[:1], sides[1:]], dim=1)
        branch = torch.tensor([[0, 0, 0, 1, 1, 2, 2]], device=row.device)
        query, key = branch[:, :, None], branch[:, None, :]
        mask = ((key == 0) | (key == query)).tril()
        positions = torch.tensor([[0, 1, 2, 3, 4, 3, 4]], device=row.device)
        try:
            together = self.hidden(row, positions, mask)[0, 3:]
        except (ValueError, TypeError, RuntimeError, IndexError):
            return False
        apart = self.hidden(torch.cat([prompt.expand(2, -1), sides], dim=1))[:, 3:]
        return _close(together, rearrange(apart, "side pos dim -> (side pos) dim"))


def _close(ours: Tensor, expected: Tensor) -> bool:
    return bool((ours - expected).abs().max() <= TOLERANCE * expected.abs().max())


def _max_length(settings: Any) -> int:
    limits = [getattr(settings, name, None) for name in LENGTHS]
    if getattr(settings, "use_sliding_window", True):
        limits.append(getattr(settings, "sliding_window", None))
    return min((limit for limit in limits if limit), default=2048)


def _empty_cache(settings: Any) -> Any:
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
