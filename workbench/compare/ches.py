"""CHES: which pairs are likely to make their own chosen completion less likely.

The centered hidden embedding similarity (Razin et al. 2024, "Unintentional Unalignment: Likelihood
Displacement in Direct Preference Optimization", definition 2). With h_k the last hidden state at
the position that predicts token k, summed over the tokens of a completion:

    CHES = <sum_k h+_k, sum_k h-_k> - ||sum_k h+_k||^2

+ is the chosen side, - the rejected one. A higher score means that more displacement is expected.
Scores rank the pairs of one data set under one model; they have no unit and no zero of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from workbench.compare.handle_sources import Source, open_handles
from workbench.compare.model_handles import ModelHandle
from workbench.core.batch import Pair, SequenceBatch
from workbench.core.collation import collate
from workbench.core.logps import next_token
from workbench.core.policy import Policy
from workbench.data.pairs import TextPair, encode_pairs
from workbench.generation.decoding_rows import max_length_of

CHES, CHES_NORM = "ches", "ches_norm"
PAIRS = 16  # per forward pass


def ches(chosen: Tensor, rejected: Tensor) -> Tensor:
    """The score from summed hidden states, (..., dim) each -> (...).

    With means over the tokens instead of sums it is the length-normalised form, in which a long
    completion counts no more than a short one.
    """
    return (chosen * (rejected - chosen)).sum(-1)


def hidden_sums(policy: Policy, batch: SequenceBatch) -> Tensor:
    """(sequence, dim): the hidden states that predict each completion's tokens, summed in float64.

    All scored tokens count, the end of sequence included.
    """
    hidden = policy.hidden(batch.tokens, batch.positions, batch.packed or batch.attention_mask())
    before, scored, owners = next_token(hidden, batch.completion_mask, batch.sequence)
    sums = torch.zeros(batch.sequences, hidden.shape[-1], dtype=torch.float64)
    return sums.index_add(0, owners[scored].cpu(), before[scored].cpu().double())


def ches_frame(
    source: Source | Sequence[ModelHandle] | Mapping[str, Source],
    pairs: Sequence[TextPair],
    max_length: int = 0,
) -> pd.DataFrame:
    """Both forms of the score for every pair, the most displacing first.

    Args:
        source: a model, or what `open_handles` makes one of; of a run, the reference is taken,
            since the score is about a training that is still to come.
        pairs: texts, such as `read_pairs(file).pairs`.
        max_length: longest prompt with completion, in tokens; 0: as long as the model takes.

    Returns:
        One row per usable pair, sorted by `ches`: `pair`, its index in `pairs`; `prompt`, `chosen`,
        `rejected`; `ches`; `ches_norm`, by means over the tokens; `lengths/chosen` and
        `lengths/rejected` in tokens. `attrs["skipped"]` lists the rows that cannot be used.

    Raises:
        WorkbenchError: no such model, or no usable pair.
    """
    handle = open_handles(source)[0]
    tokenizer, longest = handle.tokenizer, max_length or max_length_of(handle.model)
    encoded = encode_pairs(pairs, tokenizer, longest)
    numbered = iter(enumerate(pairs))  # `encoded.texts` are some of them, in the same order
    indices = [next(i for i, pair in numbered if pair is text) for text in encoded.texts]
    rows = [
        {"pair": index, "prompt": text.prompt, "chosen": text.chosen, "rejected": text.rejected}
        for index, text in zip(indices, encoded.texts, strict=True)
    ]
    frame = pd.DataFrame(rows).assign(**_scores(handle, encoded.pairs))
    frame = frame.sort_values(CHES, ascending=False, kind="stable", ignore_index=True)
    frame.attrs["skipped"] = encoded.skipped
    return frame


def _scores(handle: ModelHandle, pairs: Sequence[Pair]) -> dict[str, list[float]]:
    """The columns of numbers, in the order of `pairs`; pairs of similar length share a batch."""
    lengths = torch.tensor([[len(pair.chosen), len(pair.rejected)] for pair in pairs])
    prompts = torch.tensor([len(pair.prompt) for pair in pairs])
    order = (prompts + lengths.amax(-1)).argsort()
    parts = []
    with handle.active() as model:
        for indices in order.split(PAIRS):
            batch = collate([pairs[i] for i in indices], handle.tokenizer.pad_id)
            parts.append(hidden_sums(model, batch.to(handle.device)))  # type: ignore[arg-type]
    sums = torch.cat(parts).unflatten(0, (-1, 2))[order.argsort()]  # (pair, side, dim)
    means = sums / lengths[..., None]
    return {
        CHES: ches(*sums.unbind(1)).tolist(),
        CHES_NORM: ches(*means.unbind(1)).tolist(),
        "lengths/chosen": lengths[:, 0].tolist(),
        "lengths/rejected": lengths[:, 1].tolist(),
    }
