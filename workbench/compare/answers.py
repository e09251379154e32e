"""The answers of several models to the same prompts with the same seed, as tidy frames.

One row per prompt and model. Log-probabilities and KL are in nats and exact: every next-token
distribution along the answer is compared, nothing is estimated from samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from workbench.compare.model_handles import ModelHandle
from workbench.compare.streams import check_contrast
from workbench.core.logps import next_token_kl
from workbench.errors import WorkbenchError
from workbench.generation.common_words import common_blocks
from workbench.generation.config import SamplingConfig
from workbench.generation.decoding_rows import max_length_of
from workbench.generation.repetition import repetition, words_of
from workbench.runs.evaluate import TextScores
from workbench.train.base_model import Progress

LOGP = "logp/"  # + name: log-probability of the answer under this model
AT_ONCE = 4  # prompts whose answers are scored together; limits the distributions in memory


@dataclass(frozen=True)
class Answer:
    """A model's answer; `ended` is False where it was cut off."""

    prompt: str
    text: str
    ids: tuple[int, ...]
    ended: bool


def changed(before: str, after: str) -> float:
    """How much two texts differ in their words, 0 (the same) to 1 (nothing shared).

    1 - 2 shared / (words of both), where the words of `common_blocks` are shared.

    >>> changed("the room was small", "the room was lovely")
    0.25
    """
    one, other = words_of(before), words_of(after)
    shared = sum(size for _, _, size in common_blocks(one, other))
    return 1 - 2 * shared / (len(one) + len(other)) if one or other else 0.0


def sample_answers(
    handle: ModelHandle, prompts: Sequence[str], sampling: SamplingConfig
) -> list[Answer]:
    """One answer per prompt."""
    if not prompts:
        raise WorkbenchError("prompts is empty; at least one is needed")
    tokenizer, longest = handle.tokenizer, sampling.max_new_tokens
    answers = []
    for prompt, ids in zip(prompts, handle.generate_ids(prompts, sampling), strict=True):
        # An answer is also cut at the model's length, or at a stop string.
        max_new = max_length_of(handle.model) - len(tokenizer.render_prompt(prompt))
        text = tokenizer.decode(ids)
        stopped = any(string in text for string in sampling.stop)
        ended = len(ids) < min(longest, max_new) and not stopped
        answers.append(Answer(prompt, handle.text(ids, sampling), tuple(ids), ended))
    return answers


def answers_frame(
    models: Sequence[ModelHandle],
    prompts: Sequence[str],
    sampling: SamplingConfig,
    scores: TextScores | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Every model's answer to every prompt, with its numbers.

    Args:
        models: the first is the one that the others are compared with.
        prompts: a prompt that comes twice is answered twice, with different random numbers.
        sampling: the same for all models, the seed included.
        scores: of a world in which the true scores of a text are known.
        progress: called with the current step and the share done.

    Returns:
        One row per prompt and model, those of a prompt together: `place`, the index of the prompt;
        `prompt`; `who`, the name of the model; `text`, `words`, `tokens`, `ended` (not cut off),
        `repetition` and `changed` from the first model's answer (see the functions of these names);
        `logp/NAME` for each model (of the whole answer, end token included where it was sampled);
        `kl`, the sum over the answer's positions of the exact KL between the next-token
        distributions of its model and the first model; and the columns of `scores`. NaN where two
        models have different tokenizers, or a prompt has no true scores.

        The mean of `kl` over a model's answers estimates the KL between the two models'
        distributions of texts, by the chain rule; unlike a log-ratio, no value is below 0.
    """
    check_contrast(models, sampling)
    report = progress or (lambda text, share: None)
    answers = {}
    for number, handle in enumerate(models):
        report(f"{handle.name} answers", number / (2 * len(models)))
        answers[handle.name] = sample_answers(handle, prompts, sampling)
    return measure(answers, models, scores, lambda text, share: report(text, 0.5 + share / 2))


def measure(
    answers: Mapping[str, Sequence[Answer]],
    models: Sequence[ModelHandle],
    scores: TextScores | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The frame of `answers_frame` for given answers, by the names of their models."""
    rows: list[dict[str, Any]] = []
    count = len(next(iter(answers.values())))
    for start in range(0, count, AT_ONCE):
        if progress:
            progress("measuring the answers", start / count)
        indices = range(start, min(start + AT_ONCE, count))
        keys = [(index, name) for index in indices for name in answers]
        scored = _scored([(name, answers[name][index]) for index, name in keys], models)
        for (index, name), numbers in zip(keys, scored, strict=True):
            first = next(iter(answers.values()))[index]
            rows.append(
                {"place": index, "prompt": first.prompt, "who": name}
                | _of_text(answers[name][index], first)
                | numbers
                | _true_scores(scores, answers[name][index])
            )
    return pd.DataFrame(rows)


def _of_text(answer: Answer, first: Answer) -> dict[str, Any]:
    return {
        "text": answer.text,
        "words": len(answer.text.split()),
        "tokens": len(answer.ids),
        "ended": answer.ended,
        "repetition": repetition(answer.text),
        "changed": changed(first.text, answer.text),
    }


def _true_scores(scores: TextScores | None, answer: Answer) -> dict[str, float]:
    if scores is None:
        return {}
    try:
        return scores(answer.prompt, answer.text)
    except WorkbenchError:  # a prompt from outside the world
        return {}


def _scored(
    answers: Sequence[tuple[str, Answer]], models: Sequence[ModelHandle]
) -> Iterator[dict[str, float]]:
    """Log-probabilities and KL of each (model's name, answer)."""
    by_name = {handle.name: handle for handle in models}
    under = {handle.name: _distributions(handle, answers, by_name) for handle in models}
    first = models[0]
    for number, (author, _) in enumerate(answers):
        values = {}
        for name, distributions in under.items():
            ids, logps = distributions[number]
            values[LOGP + name] = float(logps.gather(-1, ids[:, None]).double().sum())
        same = by_name[author].tokenizer.digest == first.tokenizer.digest
        ours, theirs = (under[name][number][1].double() for name in (author, first.name))
        values["kl"] = float(next_token_kl(ours, theirs).sum()) if same else float("nan")
        yield values


def _distributions(
    handle: ModelHandle, answers: Sequence[tuple[str, Answer]], by_name: Mapping[str, ModelHandle]
) -> list[tuple[Tensor, Tensor]]:
    """(completion,) ids of each answer under this model's tokenizer, (completion, vocab) logps."""
    tokenizer, sequences = handle.tokenizer, []
    for author, answer in answers:
        same = by_name[author].tokenizer.digest == tokenizer.digest
        ids = list(answer.ids) if same else tokenizer.encode(answer.text)
        # An empty text that was cut off still needs one token to score: the end.
        ids += [tokenizer.eos_id] if answer.ended or not ids else []
        sequences.append((tokenizer.render_prompt(answer.prompt), ids))
    all_logps = handle.all_next_logps(sequences)
    return [(torch.tensor(s[1]), logps) for s, logps in zip(sequences, all_logps, strict=True)]
