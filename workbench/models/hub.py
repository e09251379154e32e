"""Other people's models: any Hugging Face causal LM as a policy.

`transformers` comes with the extra `hub` and is imported where it is used. What a model does is
checked when it is wrapped, on a few tokens: that head and hidden states give its own logits, and
whether it obeys a mask of ours.
"""

from __future__ import annotations

import inspect
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from workbench.core.batch import Packed
from workbench.core.fast.fast_kernels import FAST
from workbench.core.policy import Policy
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.hub_cache import empty_cache
from workbench.models.llama import weight_files
from workbench.models.optional import optional

TOLERANCE = 1e-3  # of logits, relative to the largest; a wrong head or mask is off by far more

LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len")
CACHES = ("cache", "past_key_values")  # the argument's name from transformers 5.24 on, and before

# What some models do to the logits after the output embeddings, by the name of the setting.
AFTER_HEAD: dict[str, Callable[[Tensor, float], Tensor]] = {
    "final_logit_softcapping": lambda logits, cap: cap * (logits / cap).tanh(),  # Gemma 2
    "logits_scaling": lambda logits, scale: logits / scale,  # Granite
    "logit_scale": lambda logits, scale: logits * scale,  # Cohere
}


class HubPolicy(Policy):
    """A Hugging Face causal LM as a `Policy`.

    Dropout stays off, also in training: policy and reference would differ by chance otherwise.

    Attributes:
        max_length: most tokens at once; a sliding window counts as the end, because positions
            beyond it would see more than the model was trained to.
        supports_branches: whether rows may hold two completions behind one prompt. A model that
            only takes masks over keys still trains on stacked rows, and pads on the left.
        layouts: packed rows are not worth it here, because other people's models compute attention
            between all tokens of a row, masked or not; they are taken where they are asked for.

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
        self._boolean = model.config._attn_implementation == "sdpa"  # eager code adds its mask
        # transformers 5 renamed it, and warns where the old name is used.
        renamed = hasattr(model, "activation_checkpointing_enable")
        self._checkpointing = f"{'activation' if renamed else 'gradient'}_checkpointing"
        self.supports_branches = True
        with torch.no_grad():
            self._check_head()
            self.supports_branches = self._obeys_masks()
        self.layouts = (
            ("stacked", "packed", "shared_prefix") if self.supports_branches else ("stacked",)
        )

    @property
    def recompute(self) -> bool:
        """Whether blocks keep only what enters them; see `Transformer.recompute`."""
        return getattr(self.model, f"is_{self._checkpointing}")

    @recompute.setter
    def recompute(self, on: bool) -> None:
        if on:
            getattr(self.model, f"{self._checkpointing}_enable")({"use_reentrant": False})
        elif self.recompute:
            getattr(self.model, f"{self._checkpointing}_disable")()
        for module in self.model.modules():  # only blocks look at their mode; dropout stays off
            if hasattr(module, "gradient_checkpointing"):
                module.training = on

    def train(self, mode: bool = True) -> HubPolicy:
        """Sets the mode, but not of the wrapped model, whose dropout stays off."""
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
            options["attention_mask"] = mask if self._boolean else self._scores(mask)
        elif mask is not None:
            options["attention_mask"] = mask[:, -1].long()  # (row, key), as the last query sees it
        if positions is not None and "position_ids" in self._accepted:
            options["position_ids"] = positions
        return self._body()(input_ids=tokens, **options).last_hidden_state

    def _scores(self, mask: Tensor) -> Tensor:
        """What is added to the scores: nothing, or the lowest number."""
        scores = torch.zeros(mask.shape, dtype=self.model.dtype, device=mask.device)
        return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)

    @property
    def vocab_size(self) -> int:
        """Tokens that the head tells apart."""
        return self.settings.vocab_size

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., dim)."""
        logits = self.model.get_output_embeddings()(hidden)
        for name, change in AFTER_HEAD.items():
            if value := getattr(self.settings, name, None):
                logits = change(logits, value)
        return logits

    def new_cache(self, rows: int, max_length: int) -> Any:
        """An empty cache, which grows as needed; None where the model has another kind."""
        return empty_cache(self.settings) if self._cache_argument else None

    def _body(self) -> nn.Module:
        """The model without its head."""
        body = self.model.base_model
        return self.model.model if body is self.model else body

    def _sample_tokens(self, *shape: int) -> Tensor:
        tokens = torch.arange(1, math.prod(shape) + 1, device=self.model.device) * 7919  # any do
        return (tokens % self.model.get_input_embeddings().num_embeddings).reshape(shape)

    def _check_head(self) -> None:
        tokens = self._sample_tokens(1, 6)
        if not _close(self.head(self.hidden(tokens)), self.model(input_ids=tokens).logits):
            raise WorkbenchError(
                f"{type(self.model).__name__} changes its logits after the head in a way that is "
                f"not known here; known: {', '.join(AFTER_HEAD)}"
            )

    def _obeys_masks(self) -> bool:
        """Whether two branches behind one prompt give what two rows of their own give."""
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
    """The causal LM in a folder, in float32: from safetensors, or from one file of GGUF.

    Raises:
        WorkbenchError: `transformers` is missing, or does not take the files.
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
        except Exception as error:  # there is no narrower class that all its errors share
            raise _refused(folder / (gguf or ""), error) from error
    if report["missing_keys"]:
        first = min(report["missing_keys"])
        raise WorkbenchError(f"{folder} has no weights for {first}; its config.json asks for them")
    if gguf:  # by now all is float32: nothing may say otherwise when it is saved
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
            found = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_fast=True, **options
            )
            found.save_pretrained(name)
        except Exception as error:
            raise _refused(folder / (gguf or ""), error) from error
        return Tokenizer.from_folder(name)


def save_hub(policy: HubPolicy, folder: Path, _special_ids: Mapping[str, int]) -> None:
    """Write config and weights as `transformers` does; every file appears as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as name, _quiet(optional("transformers")):
        policy.model.save_pretrained(name)
        for file in Path(name).iterdir():
            os.replace(file, folder / file.name)


def _refused(path: Path, error: Exception) -> WorkbenchError:
    reason = " ".join(str(error).split())[:300]
    return WorkbenchError(f"transformers does not take {path}: {reason}")


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars and notes: errors are raised, and progress is ours to tell."""
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
