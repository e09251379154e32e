"""From a policy and prompts to text: greedy or sampled, batched, cached, seeded, one step a time.

A row's text depends on its prompt and the seed alone, never on what else is in the batch: every
row has a random generator of its own. A token is drawn as argmax(logits + Gumbel noise), so that a
policy and its reference share the noise of a seed, and differ only where their distributions do.

A new filter is one function in `FILTERS` and one field, of the same name, in `SamplingConfig`,
which stands in `config.py`.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import fields
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import WorkbenchError
from workbench.models.config import SamplingConfig as SamplingConfig  # also found here

RANKED_FIRST = 512  # most likely tokens that `top_p` looks at before it ranks a whole vocabulary


def top_k(logits: Tensor, value: int) -> Tensor:
    """Keep the `value` largest of each row (row, vocab); ties with the last one stay too."""
    smallest = logits.topk(min(value, logits.shape[-1])).values[:, -1:]
    return logits.masked_fill(logits < smallest, -math.inf)


def top_p(logits: Tensor, value: float) -> Tensor:
    """Keep the fewest most likely tokens that sum to `value`, at least one (Holtzman et al. 2020).

    (row, vocab) in and out; ties with the last one stay too.
    """
    probabilities = logits.softmax(-1)
    ranked = probabilities.topk(min(RANKED_FIRST, logits.shape[-1])).values
    if (ranked.sum(-1) < value).any():
        ranked = probabilities.sort(descending=True).values
    before = ranked.cumsum(-1) - ranked
    last = (before < value).sum(-1, keepdim=True) - 1
    return logits.masked_fill(probabilities < ranked.gather(-1, last), -math.inf)


def min_p(logits: Tensor, value: float) -> Tensor:
    """Keep tokens at least `value` times as likely as the likeliest (Nguyen et al. 2024)."""
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(value), -math.inf)


# Applied in this order, after the temperature; the default of the field of that name is neutral.
FILTERS: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "top_k": top_k,
    "top_p": top_p,
    "min_p": min_p,
}


def choose(logits: Tensor, config: SamplingConfig, generators: Sequence[torch.Generator]) -> Tensor:
    """One token a row, (row, vocab) -> (row,), with one generator a row."""
    if config.temperature == 0:
        return logits.argmax(-1)
    logits = logits / config.temperature
    for part in fields(config):
        value = getattr(config, part.name)
        if part.name in FILTERS and value != part.default:
            logits = FILTERS[part.name](logits, value)
    uniform = torch.empty_like(logits)
    for row, generator in zip(uniform, generators, strict=True):
        row.uniform_(generator=generator)
    gumbel = -(-uniform.clamp_(min=torch.finfo(uniform.dtype).tiny).log()).log()
    return (logits + gumbel).argmax(-1)


def row_generators(
    prompts: Sequence[Sequence[int]], seed: int, device: torch.device
) -> list[torch.Generator]:
    """One generator a row, seeded by `seed`, the prompt, and how often it came before.

    So repeated prompts get different texts, and no row depends on the other prompts.
    """
    seen: Counter[tuple[int, ...]] = Counter()
    generators = []
    for prompt in map(tuple, prompts):
        digest = hashlib.sha256(repr((seed, seen[prompt], prompt)).encode()).digest()
        seen[prompt] += 1
        generators.append(torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big")))
    return generators


class _Rows:
    """Prompts padded on the left, growing on the right; knows what each position may see."""

    def __init__(
        self, policy: Any, prompts: Sequence[Sequence[int]], pad_id: int, room: int, cached: bool
    ) -> None:
        device = next(policy.parameters()).device
        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        blank, after = [pad_id], [pad_id] * room
        rows = [[*blank * (width - len(prompt)), *prompt, *after] for prompt in prompts]
        place = torch.arange(width + room, device=device)
        first = torch.tensor(padding, device=device)[:, None]
        self.tokens = torch.tensor(rows, device=device)  # (row, pos)
        self.positions = (place - first).clamp(min=0)
        self.visible = place >= first  # (row, key)
        self.padded = any(padding)
        self.seen, self.end = 0, width
        self.policy = policy
        self.cache = policy.new_cache(len(prompts), width + room) if cached else None

    def logits(self) -> Tensor:
        """(row, vocab) what follows the last token, in float32."""
        new = slice(self.seen, self.end)
        tokens, positions = self.tokens[:, new], self.positions[:, new]
        hidden = self.policy.hidden(tokens, positions, self._mask(), self.cache)
        if self.cache is not None:
            self.seen = self.end
        return self.policy.head(hidden[:, -1]).float()

    def append(self, column: Tensor) -> None:
        """Add one token (row,) to every row."""
        self.tokens[:, self.end] = column
        self.end += 1

    def _mask(self) -> Tensor | None:
        if not self.padded:
            return None
        visible = self.visible[:, None, : self.end]  # (row, 1, key)
        if self.end - self.seen == 1:
            return visible
        # Padding sees itself: a position that sees nothing would turn into NaN.
        square = visible.new_ones(self.end, self.end)
        return square.tril() & (visible | square.tril().triu())


def _room(policy: Any, prompts: Sequence[Sequence[int]], config: SamplingConfig) -> list[int]:
    """New tokens for each row: `max_new_tokens`, or fewer where the model's length ends before."""
    if not prompts:
        raise WorkbenchError("prompts is empty; at least one is needed")
    longest = _max_length(policy)
    for number, prompt in enumerate(prompts):
        if not 1 <= len(prompt) < longest:
            raise WorkbenchError(
                f"prompt {number} has {len(prompt)} tokens; accepted: 1 to {longest - 1}, "
                f"because the model takes {longest} with the answer"
            )
    return [min(config.max_new_tokens, longest - len(prompt)) for prompt in prompts]


def _max_length(policy: Any) -> int:
    owner = policy if hasattr(policy, "max_length") else getattr(policy, "config", None)
    return getattr(owner, "max_length", sys.maxsize)


def stream(
    policy: nn.Module,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    stop_ids: Collection[int],
    pad_id: int,
    use_cache: bool = True,
) -> Iterator[Tensor]:
    """Yield one column (row,) of new tokens a step, until every row has ended.

    A row's end token is yielded; from then on the row gives `pad_id`. End tokens inside a prompt
    don't count. The policy is used in the mode it is in, and no gradient is kept.

    Raises:
        WorkbenchError: no prompts, or a prompt that is empty or fills the model's length.
    """
    room = _room(policy, prompts, config)
    rows = _Rows(policy, prompts, pad_id, max(room), use_cache)
    device = rows.tokens.device
    generators = row_generators(prompts, config.seed, device)
    stops = torch.tensor(sorted(stop_ids), dtype=torch.long, device=device)
    left = torch.tensor(room, device=device)
    ended = torch.zeros_like(left, dtype=torch.bool)
    for step in range(1, max(room) + 1):
        # Not around the loop: the mode would stay on in the caller between two steps. And not
        # inference mode, in which autocast would round all weights anew at every step.
        with torch.no_grad():
            column = choose(rows.logits(), config, generators).masked_fill(ended, pad_id)
            ended = ended | torch.isin(column, stops) | (left == step)
            rows.append(column)
        yield column
        if ended.all():
            return


def generate(
    policy: nn.Module,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    stop_ids: Collection[int],
    pad_id: int,
    use_cache: bool = True,
) -> list[list[int]]:
    """The new tokens of each prompt, without the end token; see `stream`."""
    columns = list(stream(policy, prompts, config, stop_ids, pad_id, use_cache))
    room = _room(policy, prompts, config)
    rows = torch.stack(columns, dim=1).tolist()
    return [
        list(takewhile(lambda token: token not in stop_ids, row[:limit]))
        for row, limit in zip(rows, room, strict=True)
    ]
