"""From a policy and prompts to answers: batched, cached, seeded, one step a time.

- Greedy or drawn: temperature, then the filters of `filters.py`; repetition penalty.
- Beam search (`beam.py`), which follows several texts at once.
- Contrastive decoding: what a policy makes likelier than an amateur does, among what is likely.

A row's answer depends on its prompt and the seed alone, never on what else is in the batch: every
row has a random generator of its own. A token is drawn as argmax(logits + Gumbel noise), so that a
policy and its reference share the noise of a seed, and differ only where their distributions do.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import WorkbenchError
from workbench.generation.beam_search import search
from workbench.generation.config import SamplingConfig
from workbench.generation.decoding_rows import Rows, room_for
from workbench.generation.filters import FILTERS, contrast, repetition_penalty
from workbench.generation.stops import Decode, Stops

Prompts = Sequence[Sequence[int]]


def choose(logits: Tensor, config: SamplingConfig, generators: Sequence[torch.Generator]) -> Tensor:
    """One token a row, (row, vocab) -> (row,), with one generator a row."""
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
    """Yield one column (row,) of new tokens a step, until every row has ended.

    A row's end token is yielded; from then on the row gives `pad_id`. End tokens inside a prompt
    don't count. Beam search decides on its first token last: it yields when all is found. The
    policy is used in the mode it is in, and no gradient is kept. Arguments as in `drafts`.
    """
    stops = Stops(stop_ids, config.stop, decode)
    steps = _answers(policy, prompts, config, stops, pad_id, use_cache, amateur)
    if config.beams > 1:
        *_, found = steps
        steps = repeat(found, max(map(len, found)))
    device = next(policy.parameters()).device
    for place, answers in enumerate(steps):
        column = [answer[place] if place < len(answer) else pad_id for answer in answers]
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

    They only grow, but for beam search, which may change its mind.

    Args:
        policy: any `core.transformer.Policy`; `amateur` is one, too.
        prompts: token ids; any lengths.
        stop_ids: end tokens. `pad_id` fills up short prompts and is never seen.
        decode: makes a text of an answer's ids; only asked where `config.stop` is given. An answer
            keeps the tokens that reach into a stop string: `stops.cut` cuts its text.
        amateur: whom contrastive decoding compares with.

    Raises:
        WorkbenchError: no prompts, or a prompt that is empty or fills the model's length; an
            amateur without `contrast_alpha`, or the other way round; `stop` without `decode`.
    """
    stops = Stops(stop_ids, config.stop, decode)
    for answers in _answers(policy, prompts, config, stops, pad_id, use_cache, amateur):
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
) -> list[list[int]]:
    """The new tokens of each prompt, without the end token; see `drafts`."""
    stops = Stops(stop_ids, config.stop, decode)
    *_, found = _answers(policy, prompts, config, stops, pad_id, use_cache, amateur)
    return [stops.without_end(answer) for answer in found]


def _answers(
    policy: nn.Module,
    prompts: Prompts,
    config: SamplingConfig,
    stops: Stops,
    pad_id: int,
    use_cache: bool,
    amateur: Any | None,
) -> Iterator[list[list[int]]]:
    """Yield the answers so far, end tokens included; the lists that are yielded go on growing."""
    if (config.contrast_alpha > 0) != (amateur is not None):
        given = "no amateur" if amateur is None else "an amateur"
        raise WorkbenchError(
            f"contrast_alpha={config.contrast_alpha:g} with {given} is not accepted: contrastive "
            "decoding takes an amateur and contrast_alpha above 0, such as 0.1"
        )
    models = [policy] if amateur is None else [policy, amateur]
    room = room_for(models, prompts, config.max_new_tokens)
    every = [Rows(model, prompts, pad_id, max(room), use_cache) for model in models]
    if config.beams > 1:
        yield from search(every[0], room, config, stops)
        return
    generators = row_generators(prompts, config.seed, every[0].tokens.device)
    answers: list[list[int]] = [[] for _ in prompts]
    going = set(range(len(prompts)))
    while going:
        # Not around the loop: the mode would stay on in the caller between two steps. And not
        # inference mode, in which autocast would round all weights anew at every step.
        with torch.no_grad():
            column = choose(_scores(every, config), config, generators).tolist()
            for rows in every:
                rows.append([t if row in going else pad_id for row, t in enumerate(column)])
        for row in list(going):
            answers[row].append(column[row])
            if len(answers[row]) == room[row] or stops.reached(answers[row]):
                going.remove(row)
        yield answers


def _scores(every: Sequence[Rows], config: SamplingConfig) -> Tensor:
    """(row, vocab) what a token is chosen by, before temperature and filters."""
    expert, *amateurs = every
    logits = expert.logits()
    if config.repetition_penalty != 1:
        logits = repetition_penalty(logits, expert.own_tokens(), config.repetition_penalty)
    for amateur in amateurs:
        logits = contrast(logits, amateur.logits().to(logits.device), config.contrast_alpha)
    return logits
