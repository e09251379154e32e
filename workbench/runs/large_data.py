"""The rows of a run that are too many to hold: tokenised once, then read from a memory map."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from workbench.data.large.cache_files import CacheFiles
from workbench.data.large.hashed_groups import split_by_hash
from workbench.data.large.lazy_items import Lazy, LazyItems
from workbench.data.large.row_stream import RowStream, first_of, large_source
from workbench.data.large.token_cache import tokenised
from workbench.data.pairs import SHIPPED
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.folder.known_rows import KnownData
from workbench.runs.run_data import RunData, load_small, other_data
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.method import Method

LARGE_HASH = "large-"  # what the hash of large data begins with
SHOWN = 1000  # training rows that are looked at where none is held out; cut rows that are listed


@dataclass(frozen=True, kw_only=True)
class LargeData(RunData):
    """`RunData` whose training items and texts are made when they are looked at.

    The held-out ones are in memory. `hash` is over the cached token ids and the numbers of those
    that are held out, so that it is known without reading all.
    """

    source: RowStream = field(repr=False)
    cache: CacheFiles = field(repr=False)
    held_out_numbers: list[int] = field(repr=False)

    @cached_property
    def hash(self) -> str:
        parts = f"{self.cache.token_digest}\n{self.held_out_numbers}"
        return LARGE_HASH + hashlib.sha256(parts.encode()).hexdigest()

    @property
    def first_rows(self) -> list[Any]:
        with suppress(WorkbenchError):  # from elsewhere, and there is no network any more
            return first_of(self.source, SHOWN)
        return []

    def lines(self, config: TrainConfig) -> list[str]:
        """For a person: where the tokens are, and when the reference is asked."""
        found = [f"tokenised once, into {self.cache.folder}"]
        if config.reference == "live":
            found.append(
                "the reference is asked at every step; --reference cached asks it for all rows "
                "before the first, which pays from the second epoch on"
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        listed = [row._asdict() for row in self.truncated[:SHOWN]]
        counted = {"truncated": listed, "truncated_rows": len(self.truncated)}
        return {**self.known._asdict(), **counted}

    @property
    def conversations(self) -> dict[str, Sequence[int]]:
        return self._looked_at.conversations

    def prompts(self, count: int) -> list[Any]:
        return self._looked_at.prompts(count)

    @cached_property
    def _looked_at(self) -> RunData:
        """The held-out rows; where there are none, some to train on."""
        if self.held_out:
            return RunData([], self.held_out, [], self.held_out_texts, [], [])
        return RunData(self.train[:SHOWN], [], self.train_texts[:SHOWN], [], [], [])


def load_data(
    config: TrainConfig,
    method: Method[Any],
    model: Model,
    device: str,
    precision: str,
    known: KnownData | None = None,
    tell: Progress | None = None,
) -> RunData:
    """Read or write the rows that `config.data` names, for this method and model.

    `known` is what an earlier run with these settings kept of the rows of a file; it also decides
    whether they are held in memory, so that a run goes on as it began. Those of "reviews" are made
    anew; where the reference draws them, another machine may draw others.

    Raises:
        WorkbenchError: no usable row, or fewer than `held_out` leaves to train on; or the rows are
            no longer those that are known.
    """
    was_large = None if known is None else known.hash.startswith(LARGE_HASH)
    in_memory = config.data in ("reviews", *SHIPPED) or was_large is False
    source = None if in_memory else large_source(config.data, bool(was_large))
    if source is None:
        return load_small(config, method, model, device, precision, known)
    return _load_large(source, config, method, model, known, tell or (lambda text, share: None))


def _load_large(
    source: RowStream,
    config: TrainConfig,
    method: Method[Any],
    model: Model,
    known: KnownData | None,
    tell: Progress,
) -> RunData:
    longest = config.max_length or model.max_length
    cache = tokenised(source, method, model.tokenizer, longest, config.reading, tell)
    tell("dividing the rows", 0.0)
    if known is None or known.held_out is None:
        prompts, groups = cache.facts["prompt"], cache.facts["group"]
        parts = split_by_hash(prompts, groups, config.held_out or 0, config.seed)
    else:
        held = np.isin(cache.facts["row"], known.held_out)
        parts = np.flatnonzero(~held), np.flatnonzero(held)
    items, held_items = (LazyItems(cache, part) for part in parts)
    texts, held_texts = (Lazy(cache.text, part) for part in parts)
    data = LargeData(
        method.complete(items, [], longest),
        list(method.complete(held_items, items, longest)),
        texts,
        list(held_texts),
        cache.skipped,
        cache.truncated,
        layout=cache.info.layout,
        source=source,
        cache=cache,
        held_out_numbers=parts[1].tolist(),
    )
    if known is not None and data.hash != known.hash:
        raise other_data(config.data, method, known.hash, data.hash)
    return data


def with_live_reference(config: TrainConfig, asked: TrainConfig, data: RunData) -> TrainConfig:
    """Large data, unless the person `asked` otherwise, is scored by the reference when a step needs
    it: scoring all rows first takes as long as an epoch of it, and nothing is seen meanwhile.

    In one epoch it costs the same.
    """
    if not isinstance(data, LargeData) or asked.reference or not config.reference:
        return config
    return replace(config, reference="live")
