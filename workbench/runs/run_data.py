"""The data of a run: read or written, tokenised, split into training and held-out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import cycle, islice
from typing import Any

import torch

from workbench.data.cache import atomic_write, cache_folder
from workbench.data.encoding.encode_rows import collection_paused, prompt_ids
from workbench.data.pairs import SkippedRow, TextPair, TruncatedRow
from workbench.data.reviews.world import Reviews
from workbench.data.seals import read_sealed, sealed, set_aside
from workbench.data.split import plain, split_by_group
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.generation.stops import cut
from workbench.models.load import Model, model_hash
from workbench.runs.evaluate import TextScores
from workbench.runs.folder.known_rows import KnownData
from workbench.train.config import TrainConfig
from workbench.train.method import Method
from workbench.train.precision import computing
from workbench.train.reference.values import cache_key


@dataclass(frozen=True)
class RunData:
    """The rows of one run and what is known of them.

    `train` and `held_out` are token ids, the `*_texts` the same rows as text in the same order;
    `skipped` holds the rows that can't be used, `truncated` those with completions that were cut;
    `scores` rates a sampled text where the truth is known; `layout` says how the columns of a file
    were read; `hash` is the sha256 of the token ids.
    """

    train: Sequence[Any]
    held_out: Sequence[Any]
    train_texts: Sequence[Any]
    held_out_texts: Sequence[Any]
    skipped: Sequence[SkippedRow]
    truncated: Sequence[TruncatedRow]
    scores: TextScores | None = None
    layout: str = ""

    @cached_property
    def hash(self) -> str:
        """Of the token ids, training and held-out."""
        return cache_key("", [*self.train, *self.held_out])

    @property
    def known(self) -> KnownData:
        """What the run's record keeps of it."""
        return KnownData(self.hash, sorted({text.row for text in self.held_out_texts}))

    @property
    def first_rows(self) -> list[Any] | None:
        """The first rows of the file, of data that is too large to look through."""
        return None

    def as_dict(self) -> dict[str, Any]:
        """For data.json: what is known, and the rows that were cut."""
        return {**self.known._asdict(), "truncated": [row._asdict() for row in self.truncated]}

    @property
    def conversations(self) -> dict[str, Sequence[int]]:
        """Token ids of the prompts of several turns or with a system message, by their text.

        Where rows differ in the system message alone, the first held-out one counts.
        """
        items = [*self.held_out, *self.train]
        texts = [*self.held_out_texts, *self.train_texts]
        return {
            text.prompt: item.prompt
            for item, text in reversed([*zip(items, texts, strict=True)])
            if text.dialogue is not None or text.system is not None
        }

    def prompts(self, count: int) -> list[Any]:
        """Texts of `count` prompts to sample, held-out ones where there are any, repeated if need
        be."""
        texts = self.held_out_texts or self.train_texts
        distinct = list({text.prompt: text for text in texts}.values())
        return list(islice(cycle(distinct), count))


def load_small(
    config: TrainConfig,
    method: Method[Any],
    model: Model,
    device: str,
    precision: str,
    known: KnownData | None = None,
) -> RunData:
    """Read or write the rows that `config.data` names, all into memory; see `load_data`.

    `known` is what an earlier run with these settings kept of the rows of a file. Those of
    "reviews" are made anew; where the reference draws them, another machine may draw others.

    Raises:
        WorkbenchError: no usable row, or fewer than `held_out` leaves to train on; or the rows are
            no longer those that are known.
    """
    scores, skipped, layout = None, list[SkippedRow](), ""
    if config.data == "reviews":
        world = Reviews(config.world)

        def write(prompts: list[str], seed: int) -> list[str]:
            sampling = SamplingConfig(max_new_tokens=config.max_new_tokens or 40, seed=seed)
            asked = [TextPair(prompt, "", "") for prompt in prompts]
            how = (prompts, asdict(sampling), device, precision, torch.__version__)
            key = json.dumps([model_hash(model.policy), *how])
            return remembered(key, lambda: write_answers(model, asked, sampling, device, precision))

        pairs = world.preferences(write if config.pairs_from == "reference" else None)
        texts, scores = method.from_pairs(pairs), review_scores(world)
    else:
        texts, skipped, layout = method.read(config.data, config.reading)
    longest = config.max_length or model.max_length
    with collection_paused(), naming_file(config.data):
        encoded = method.encode(texts, model.tokenizer, longest)
    rows = sorted([*skipped, *encoded.skipped], key=lambda row: row.row)

    def divided(parts: tuple[list[int], list[int]]) -> RunData:
        chosen, held = ([encoded.items[i] for i in part] for part in parts)
        texts, kept_texts = ([encoded.texts[i] for i in part] for part in parts)
        train, kept = method.complete(chosen, [], longest), method.complete(held, chosen, longest)
        return RunData(train, kept, texts, kept_texts, rows, encoded.truncated, scores, layout)

    def split(keys: Callable[[Any], list[Any]]) -> RunData:
        return divided(split_by_group(encoded.texts, keys, config.held_out or 0, config.seed))

    if known is None or config.data == "reviews":
        return split(_shared)
    if known.held_out is not None:
        found = [divided(_as_known(encoded.texts, set(known.held_out)))]
    else:
        found = []
        for keys in (_before, _before_by_texts, _shared):
            with suppress(WorkbenchError):  # not a split that this rule allows
                found.append(split(keys))
    for one in found:
        if one.hash == known.hash:
            return one
    now = found[-1].hash if found else "of rows which cannot be split so"
    raise other_data(config.data, method, known.hash, now)


def other_data(name: str, method: Method[Any], known: str, now: str) -> WorkbenchError:
    """That a file no longer holds the rows of a run."""
    return WorkbenchError(
        f"{name}: the {method.noun} of this run had data_hash {known[:12]}, it is now "
        f"{now if ' ' in now else now[:12]}; give back the file that the run was made with"
    )


@contextmanager
def naming_file(name: str) -> Iterator[None]:
    """Put the file in front of what is wrong with its rows."""
    try:
        yield
    except WorkbenchError as error:
        raise WorkbenchError(f"{name}: {error}") from error


def _before(text: Any) -> list[str]:
    """As rows were split before the held-out ones were kept: by group, else by prompt."""
    return [text.group or text.prompt]


def _before_by_texts(text: Any) -> list[str]:
    """The same; a group that was no text did not count."""
    try:
        json.loads(text.group)
    except ValueError:
        return _before(text)
    return [text.prompt]


def _shared(text: Any) -> list[tuple[str, str]]:
    """What a row shares with those that are held out with it: prompt, but for case and spaces, and
    group."""
    prompt = "prompt", plain(text.prompt)
    return [prompt, ("group", text.group)] if text.group else [prompt]


def _as_known(texts: Sequence[Any], held_out: set[int]) -> tuple[list[int], list[int]]:
    parts: tuple[list[int], list[int]] = [], []
    for index, text in enumerate(texts):
        parts[text.row in held_out].append(index)
    return parts


def refuse_truncated(data: RunData, asked: int | None, longest: int) -> None:
    """Raise where most rows are cut at `longest` tokens though nobody `asked` for a length."""
    rows = len(data.train_texts) + len(data.held_out_texts)
    if asked is None and 2 * len(data.truncated) > rows:
        raise WorkbenchError(
            f"{len(data.truncated)} of {rows} rows are longer than {longest} tokens, and a "
            "completion that is cut loses its end of sequence: give shorter texts or another "
            f"model, or --max-length {longest} (max_length={longest}) to train on them cut"
        )


def write_answers(
    model: Model, prompts: Sequence[TextPair], sampling: SamplingConfig, device: str, precision: str
) -> list[str]:
    """The model's own completions of `prompts`."""
    ids = [prompt_ids(pair, model.tokenizer) for pair in prompts]
    tokenizer = model.tokenizer
    with computing(model.policy, device, precision):
        drawn = generate(
            model.policy, ids, sampling, tokenizer.stop_ids, tokenizer.pad_id,
            decode=tokenizer.decode,
        )  # fmt: skip
    return [cut(tokenizer.decode(one), sampling.stop) for one in drawn]


def remembered(key: str, write: Callable[[], list[str]]) -> list[str]:
    """The texts that `write` gave for this key, kept in the cache folder; anew where damaged."""
    path = cache_folder() / "drawn" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
    try:
        return list(read_sealed(path)["texts"])
    except (WorkbenchError, KeyError, TypeError) as error:
        if path.exists():
            set_aside(path, str(error))
    texts = write()
    atomic_write(path, lambda file: file.write_text(json.dumps(sealed({"texts": texts}))))
    return texts


def review_scores(world: Reviews) -> TextScores:
    """True reward in [-1, 1] and whether the grammar could have written the text."""

    def score(prompt: str, text: str) -> dict[str, float]:
        return {
            "reward": world.reward(text),
            "grammatical": float(world.is_grammatical(prompt, text)),
        }

    return score
