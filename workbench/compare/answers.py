"""What several models answer to the same prompts with the same seed, as tidy frames of numbers.

One row a prompt and model. Log-probabilities and KL are in nats and exact: every next-token
distribution along the answer is compared, nothing is estimated from samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.compare.model_handles import Ids, ModelHandle
from workbench.compare.streams import check_contrast
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.runs.evaluate import TextScores
from workbench.train.base_model import Progress

LOGP = "logp/"  # + name: log-probability of the answer under this model
AT_ONCE = 4  # prompts whose answers are scored together; bounds the distributions in memory
GRAM = 3  # words


@dataclass(frozen=True)
class Answer:
    """What a model wrote; `ended` tells whether by itself, rather than being cut off."""

    prompt: str
    text: str
    ids: tuple[int, ...]
    ended: bool


def words_of(text: str) -> list[str]:
    """Words and punctuation marks.

    >>> words_of("It was good, I think.")
    ['It', 'was', 'good', ',', 'I', 'think', '.']
    """
    return re.findall(r"\w+|[^\w\s]", text)


def repetition(text: str, size: int = GRAM) -> float:
    """Share of a text's runs of `size` words that came before in it, 0 to 1; 0 for short texts.

    1 - distinct / all, which is seq-rep-n of Welleck et al. 2020 (Neural text generation with
    unlikelihood training), here over words and punctuation without regard to case.

    >>> repetition("so good, so good, so good,")  # 4 of 7 came before
    0.5714285714285714
    """
    words = [word.lower() for word in words_of(text)]
    grams = [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def changed(before: str, after: str) -> float:
    """How much two texts differ in their words, 0 (the same) to 1 (nothing shared).

    1 - 2 shared / (words of both), after the longest matching blocks (Ratcliff and Metzener 1988).

    >>> changed("the room was small", "the room was lovely")
    0.25
    """
    return 1 - SequenceMatcher(None, words_of(before), words_of(after), autojunk=False).ratio()


def kl_along(left: ModelHandle, right: ModelHandle, prompt: Ids, completion: Ids) -> Tensor:
    """(completion,) exact KL(left || right) between next-token distributions at each place.

    Summed over a text that `left` wrote, its mean over such texts is the KL of the two models'
    texts, by the chain rule; unlike a log-ratio, no single value is below 0.
    """
    return _kl(left.next_logps(prompt, completion), right.next_logps(prompt, completion))


def _kl(left: Tensor, right: Tensor) -> Tensor:
    return F.kl_div(right.double(), left.double(), reduction="none", log_target=True).sum(-1)


def ask(handle: ModelHandle, prompts: Sequence[str], sampling: SamplingConfig) -> list[Answer]:
    """One answer a prompt."""
    if not prompts:
        raise WorkbenchError("prompts is empty; at least one is needed")
    tokenizer, longest = handle.tokenizer, sampling.max_new_tokens
    found = []
    for prompt, ids in zip(prompts, handle.write(prompts, sampling), strict=True):
        # An answer also ends where the model takes no more, or at a stop string.
        room = _max_length(handle) - len(tokenizer.render_prompt(prompt))
        text = tokenizer.decode(ids)
        stopped = any(string in text for string in sampling.stop)
        ended = len(ids) < min(longest, room) and not stopped
        found.append(Answer(prompt, handle.text(ids, sampling), tuple(ids), ended))
    return found


def _max_length(handle: ModelHandle) -> int:
    model = handle.model
    owner: Any = model if hasattr(model, "max_length") else getattr(model, "config", None)
    return getattr(owner, "max_length", 1 << 30)


def answers_frame(
    asked: Sequence[ModelHandle],
    prompts: Sequence[str],
    sampling: SamplingConfig,
    scores: TextScores | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Every model's answer to every prompt, with its numbers.

    Args:
        asked: the first is the one whom the others are compared with.
        prompts: a prompt that comes twice is answered twice, with different luck.
        sampling: the same for all, the seed included.
        scores: of a world that knows the truth about a text.
        progress: told who writes and who is scored, with the share done.

    Returns:
        One row a prompt and model, those of a prompt together: `place` of the prompt from 0,
        `prompt`, `who`, `text`, `words`, `tokens`, `ended` (by itself, not cut off), `repetition`
        and `changed` against the first model's answer (see the functions of these names),
        `logp/NAME` for each model (of the whole answer, end token included where it was drawn),
        `kl`, the sum of `kl_along` from who wrote the answer to the first model, and what `scores`
        gives. NaN where two models have no tokens in common, or a world can't score a prompt.
    """
    check_contrast(asked, sampling)
    tell = progress or (lambda text, share: None)
    answers = {}
    for number, handle in enumerate(asked):
        tell(f"{handle.name} answers", number / (2 * len(asked)))
        answers[handle.name] = ask(handle, prompts, sampling)
    return measure(answers, asked, scores, lambda text, share: tell(text, 0.5 + share / 2))


def measure(
    answers: Mapping[str, Sequence[Answer]],
    asked: Sequence[ModelHandle],
    scores: TextScores | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The frame of `answers_frame` for answers in hand, by the names of their models."""
    rows: list[dict[str, Any]] = []
    count = len(next(iter(answers.values())))
    for start in range(0, count, AT_ONCE):
        if progress:
            progress("measuring the answers", start / count)
        places = range(start, min(start + AT_ONCE, count))
        keys = [(place, who) for place in places for who in answers]
        found = dict(zip(keys, _scored([(w, answers[w][p]) for p, w in keys], asked), strict=True))
        for place, who in keys:
            first = next(iter(answers.values()))[place]
            rows.append(
                {"place": place, "prompt": first.prompt, "who": who}
                | _of_text(answers[who][place], first)
                | found[place, who]
                | _known(scores, answers[who][place])
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


def _known(scores: TextScores | None, answer: Answer) -> dict[str, float]:
    if scores is None:
        return {}
    try:
        return scores(answer.prompt, answer.text)
    except WorkbenchError:  # a prompt from outside the world
        return {}


def _scored(
    answers: Sequence[tuple[str, Answer]], asked: Sequence[ModelHandle]
) -> Iterator[dict[str, float]]:
    """Log-probabilities and KL of each (model's name, answer)."""
    own = {handle.name: handle for handle in asked}
    under = {handle.name: _distributions(handle, answers, own) for handle in asked}
    first = asked[0]
    for number, (who, _) in enumerate(answers):
        values = {}
        for handle in asked:
            ids, logps = under[handle.name][number]
            values[LOGP + handle.name] = float(logps.gather(-1, ids[:, None]).double().sum())
        same = own[who].tokenizer.digest == first.tokenizer.digest
        along = [under[name][number][1] for name in (who, first.name)]
        values["kl"] = float(_kl(*along).sum()) if same else float("nan")
        yield values


def _distributions(
    handle: ModelHandle, answers: Sequence[tuple[str, Answer]], own: Mapping[str, ModelHandle]
) -> list[tuple[Tensor, Tensor]]:
    """(completion,) ids of each answer as `model` reads it, and its (completion, vocab)."""
    tokenizer, sequences = handle.tokenizer, []
    for who, answer in answers:
        same = own[who].tokenizer.digest == tokenizer.digest
        ids = list(answer.ids) if same else tokenizer.encode(answer.text)
        # A text that is empty and cut off has nothing to score but its end.
        ids += [tokenizer.eos_id] if answer.ended or not ids else []
        sequences.append((tokenizer.render_prompt(answer.prompt), ids))
    found = handle.all_next_logps(sequences)
    return [(torch.tensor(ids), logps) for (_, ids), logps in zip(sequences, found, strict=True)]
