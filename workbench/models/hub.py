"""Any Hugging Face causal LM as a policy.

`transformers` comes with the extra `hub` and is imported where it is used. When a model is wrapped,
a few tokens show that head and hidden states give its own logits, and whether it follows an
attention mask over queries and keys.
"""

from __future__ import annotations

import inspect
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from workbench.core.fast.packed_rows import Packed
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.hub_cache import empty_cache
from workbench.models.llama import weight_files
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


class HubPolicy(nn.Module):
    """A Hugging Face causal LM as a `Policy`.

    Dropout stays off, also in training: otherwise policy and reference would differ at random.

    Attributes:
        max_length: the longest sequence, in tokens, at most the sliding window: with our masks,
            positions beyond it would attend to more than in the model's training.
        supports_branches: whether a row may hold two completions after one prompt. A model that
            only takes masks over keys still trains on stacked rows and supports left padding.

    Raises:
        WorkbenchError: head and hidden states don't give the model's own logits.
    """

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
        self.supports_branches = True
        with torch.no_grad():
            self._check_head()
            self.supports_branches = self._follows_masks()

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
        for module in self.model.modules():  # sets the mode of blocks only; dropout stays off
            if hasattr(module, "gradient_checkpointing"):
                module.training = on

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
        return self._body()(input_ids=tokens, **options).last_hidden_state

    def _bias(self, mask: Tensor) -> Tensor:
        """The mask as a bias of the attention scores: 0, or the lowest number."""
        bias = torch.zeros(mask.shape, dtype=self.model.dtype, device=mask.device)
        return bias.masked_fill(~mask, torch.finfo(bias.dtype).min)

    @property
    def vocab_size(self) -> int:
        """The number of tokens that the head has logits for."""
        return self.settings.vocab_size

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., dim)."""
        logits = self.model.get_output_embeddings()(hidden)
        for name, change in AFTER_HEAD.items():
            if value := getattr(self.settings, name, None):
                logits = change(logits, value)
        return logits

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Logits (row, pos, vocab) of `tokens` (row, pos)."""
        return self.head(self.hidden(tokens, positions, mask))

    def new_cache(self, rows: int, max_length: int) -> Any:
        """An empty cache, which grows as needed; None where the model uses another kind."""
        return empty_cache(self.settings) if self._cache_argument else None

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


def load_hub(folder: Path, gguf: str | None = None) -> HubPolicy:
    """The causal LM in a folder, in float32: from safetensors, or from one GGUF file.

    Raises:
        WorkbenchError: `transformers` is missing, or rejects the files.
    """
    transformers = optional("transformers")
    options: dict[str, Any] = {"gguf_file": gguf} if gguf else {"use_safetensors": True}
    if gguf is None:
        weight_files(folder)
    with _quiet(transformers), torch.random.fork_rng(devices=[]):
        try:
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
        except Exception as error:  # its errors share no narrower class
            raise _rejected(folder / (gguf or ""), error) from error
    if report["missing_keys"]:
        first = min(report["missing_keys"])
        raise WorkbenchError(f"{folder} has no weights for {first}, which its config.json needs")
    if gguf:  # the weights are float32 now, and are saved as such
        model.hf_quantizer = None
        del model.config.quantization_config
    return HubPolicy(model)


def load_tokenizer(folder: Path, gguf: str | None = None) -> Tokenizer:
    """The tokenizer in a folder, converted by `transformers` where there is no `tokenizer.json`."""
    if gguf is None and (folder / "tokenizer.json").is_file():
        return Tokenizer.from_folder(folder)
    transformers = optional("transformers")
    options = {"gguf_file": gguf} if gguf else {}
    with TemporaryDirectory() as name, _quiet(transformers):
        for special in ("generation_config.json", "config.json"):
            if gguf is None and (folder / special).is_file():
                shutil.copy(folder / special, name)
        try:
            converted = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_fast=True, **options
            )
            converted.save_pretrained(name)
        except Exception as error:
            raise _rejected(folder / (gguf or ""), error) from error
        return Tokenizer.from_folder(name)


def save_hub(policy: HubPolicy, folder: Path) -> None:
    """Write config and weights as `transformers` does; every file is replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as name, _quiet(optional("transformers")):
        policy.model.save_pretrained(name)
        for file in Path(name).iterdir():
            os.replace(file, folder / file.name)


def _rejected(path: Path, error: Exception) -> WorkbenchError:
    reason = " ".join(str(error).split())[:300]
    return WorkbenchError(f"transformers does not take {path}: {reason}")


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars and messages of the library: errors are raised all the same."""
    log = transformers.utils.logging
    bars, level = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
