"""From a policy and prompts to answers: batched, cached, seeded, one step at a time.

- Greedy decoding or sampling: temperature, then the filters of `filters.py`; repetition penalty.
- Beam search (`beam_search.py`), which follows several texts at once.
- Contrastive decoding: of the likely tokens, those that the policy prefers over an amateur model.

A row's answer depends only on its prompt and the seed, never on the rest of the batch: every row
has its own random generator. A token is sampled as argmax(logits + Gumbel noise), so that a policy
and its reference share the noise of a seed and differ only where their distributions do.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import WorkbenchError
from workbench.generation.beam_search import search
from workbench.generation.config import SamplingConfig
from workbench.generation.decoding_rows import DecodingRows, max_new_per_row
from workbench.generation.filters import FILTERS, contrast, repetition_penalty
from workbench.generation.stops import Decode, Stops

Prompts = Sequence[Sequence[int]]


def choose(logits: Tensor, config: SamplingConfig, generators: Sequence[torch.Generator]) -> Tensor:
    """One token per row, (row, vocab) -> (row,), with one generator per row."""
    if config.temperature == 0:
        return logits.argmax(-1)
    logits = logits / config.temperature
    for name, keep in FILTERS.items():
        value = getattr(config, name)
        if value != type(config).__dataclass_fields__[name].default:
            logits = keep(logits, value)
    uniform = torch.empty_like(logits)
    for row, generator in zip(uniform, generators, strict=True):
        row.uniform_(generator=generator)
    gumbel = -(-uniform.clamp_(min=torch.finfo(uniform.dtype).tiny).log()).log()
    return (logits + gumbel).argmax(-1)


def row_generators(prompts: Prompts, seed: int, device: torch.device) -> list[torch.Generator]:
    """One generator per row, seeded by `seed`, the prompt, and how often the prompt came before.

    So repeated prompts get different texts, and no row depends on other prompts.
    """
    seen: Counter[tuple[int, ...]] = Counter()
    generators = []
    for prompt in map(tuple, prompts):
        digest = hashlib.sha256(repr((seed, seen[prompt], prompt)).encode()).digest()
        seen[prompt] += 1
        generators.append(torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big")))
    return generators


@dataclass(frozen=True)
class _Request:
    """What to generate: with which models, from which prompts, and how."""

    policy: nn.Module
    prompts: Prompts
    config: SamplingConfig
    stops: Stops
    pad_id: int
    use_cache: bool
    amateur: Any | None

    def __post_init__(self) -> None:
        if (self.config.contrast_alpha > 0) != (self.amateur is not None):
            given = "no amateur" if self.amateur is None else "an amateur"
            raise WorkbenchError(
                f"contrast_alpha={self.config.contrast_alpha:g} with {given} is not accepted: "
                "contrastive decoding takes an amateur and contrast_alpha above 0, such as 0.1"
            )


def stream(
    policy: nn.Module,
    prompts: Prompts,
    config: SamplingConfig,
    stop_ids: Collection[int],
    pad_id: int,
    use_cache: bool = True,
    decode: Decode | None = None,
    amateur: Any | None = None,
) -> Iterator[Tensor]:
    """Yield one column (row,) of new tokens per step, until every row has ended.

    A row's end token is yielded; after it the row gives `pad_id`. End tokens inside a prompt are
    ignored. Beam search fixes its first token only at the end, so it yields after all steps. The
    policy's training mode is not changed, and no gradient is kept. Arguments as in `drafts`.
    """
    stops = Stops(stop_ids, config.stop, decode)
    steps = _answers(_Request(policy, prompts, config, stops, pad_id, use_cache, amateur))
    if config.beams > 1:
        *_, final = steps
        steps = repeat(final, max(map(len, final)))
    device = next(policy.parameters()).device
    for index, answers in enumerate(steps):
        column = [answer[index] if index < len(answer) else pad_id for answer in answers]
        yield torch.tensor(column, device=device)


def drafts(
    policy: nn.Module,
    prompts: Prompts,
    config: SamplingConfig,
    stop_ids: Collection[int],
    pad_id: int,
    use_cache: bool = True,
    decode: Decode | None = None,
    amateur: Any | None = None,
) -> Iterator[list[list[int]]]:
    """Yield after every step the new tokens of each prompt so far, without the end token.

    Answers only grow, except in beam search, where a later step may replace them.

    Args:
        policy: any `core.transformer.Policy`.
        prompts: token ids; any lengths.
        stop_ids: end tokens.
        pad_id: fills up short prompts; the model never attends to it.
        decode: turns an answer's ids into text; needed only with `config.stop`. An answer keeps
            the tokens that reach into a stop string: `stops.cut` cuts its text.
        amateur: the policy that contrastive decoding compares with.

    Raises:
        WorkbenchError: no prompts, or a prompt that is empty or fills the model's length; an
            amateur without `contrast_alpha`, or the other way round; `stop` without `decode`.
    """
    stops = Stops(stop_ids, config.stop, decode)
    for answers in _answers(_Request(policy, prompts, config, stops, pad_id, use_cache, amateur)):
        yield [stops.without_end(answer) for answer in answers]


def generate(
    policy: nn.Module,
    prompts: Prompts,
    config: SamplingConfig,
    stop_ids: Collection[int],
    pad_id: int,
    use_cache: bool = True,
    decode: Decode | None = None,
    amateur: Any | None = None,
    keep_end: bool = False,
) -> list[list[int]]:
    """The new tokens of each prompt, without the end token unless `keep_end`; see `drafts`."""
    stops = Stops(stop_ids, config.stop, decode)
    *_, final = _answers(_Request(policy, prompts, config, stops, pad_id, use_cache, amateur))
    return [[*answer] if keep_end else stops.without_end(answer) for answer in final]


def _answers(request: _Request) -> Iterator[list[list[int]]]:
    """The answers so far after every step, end tokens included; the yielded lists keep growing."""
    config, prompts = request.config, request.prompts
    policy = getattr(request.policy, "language_model", request.policy)
    models = [policy] if request.amateur is None else [policy, request.amateur]
    max_new = max_new_per_row(models, prompts, config.max_new_tokens)
    rows = [
        DecodingRows(model, prompts, request.pad_id, max(max_new), request.use_cache)
        for model in models
    ]
    if config.beams > 1:
        return search(rows[0], max_new, config, request.stops)
    return _sampled(request, rows, max_new)


def _sampled(
    request: _Request, rows: Sequence[DecodingRows], max_new: Sequence[int]
) -> Iterator[list[list[int]]]:
    """`_answers` one token per row and step; `rows` of the policy, then of the amateur if any."""
    config, pad_id = request.config, request.pad_id
    generators = row_generators(request.prompts, config.seed, rows[0].tokens.device)
    answers: list[list[int]] = [[] for _ in request.prompts]
    unfinished = set(range(len(answers)))
    while unfinished:
        # Not around the loop: the mode would stay on in the caller between two steps. And not
        # inference mode, in which autocast would round all weights anew at every step.
        with torch.no_grad():
            column = choose(_scores(rows, config), config, generators).tolist()
            for model_rows in rows:
                model_rows.append([t if i in unfinished else pad_id for i, t in enumerate(column)])
        for row in list(unfinished):
            answers[row].append(column[row])
            if len(answers[row]) == max_new[row] or request.stops.reached(answers[row]):
                unfinished.remove(row)
        yield answers


def _scores(rows: Sequence[DecodingRows], config: SamplingConfig) -> Tensor:
    """(row, vocab) scores that tokens are chosen by, before temperature and filters."""
    expert, *amateurs = rows
    logits = expert.logits()
    if config.repetition_penalty != 1:
        logits = repetition_penalty(logits, expert.own_tokens(), config.repetition_penalty)
    for amateur in amateurs:
        logits = contrast(logits, amateur.logits().to(logits.device), config.contrast_alpha)
    return logits
