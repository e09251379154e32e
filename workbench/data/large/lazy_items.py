"""Items and texts of a tokenised source as sequences; each is made when it is looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from workbench.data.large.cache_files import CacheFiles
from workbench.errors import WorkbenchError

T = TypeVar("T")


class Lazy(Sequence[T], Generic[T]):
    """`make` of each of some numbers, called at each access."""

    def __init__(self, make: Callable[[int], T], numbers: NDArray[np.int64]) -> None:
        self._make, self.numbers = make, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._make(int(number)) for number in self.numbers[index]]
        return self._make(int(self.numbers[index]))


class LazyItems(Lazy[Any]):
    """Token ids of some of the items of a cache, in this order.

    Attributes:
        sizes: (item,) what the method's `size` gives of each.
        labels: (item,) whether each is desirable.
    """

    def __init__(self, cache: CacheFiles, numbers: NDArray[np.int64]) -> None:
        super().__init__(cache.item, numbers)
        self.cache = cache

    @cached_property
    def sizes(self) -> NDArray[np.uint32]:
        return self.cache.facts["size"][self.numbers]

    @property
    def labels(self) -> NDArray[np.bool_]:
        return self.cache.facts["label"][self.numbers]

    @property
    def digest(self) -> str:
        """SHA-256 of all token ids, in hexadecimal digits."""
        parts = [self.cache.token_digest.encode(), self.numbers.tobytes(), self._partners]
        return hashlib.sha256(b"\n".join(parts)).hexdigest()

    @property
    def _partners(self) -> bytes:
        """What else an item is made of."""
        return b""

    def mismatched(self, others: Sequence[Any], max_length: int) -> LazyItems:
        """The same, each with the completion of the next item that has another prompt.

        Args:
            others: what follows the last item; the first one comes again behind them.
            max_length: of the prompt with that completion.

        Raises:
            WorkbenchError: all items and others have one prompt.
        """
        behind = others.numbers if isinstance(others, LazyItems) else self.numbers[:0]
        pool = np.concatenate([self.numbers, behind])
        prompts = self.cache.facts["prompt_ids"][pool]
        last = np.flatnonzero(prompts != np.roll(prompts, -1))  # of each stretch of one prompt
        if not len(last):
            raise WorkbenchError(
                "kto compares with completions of other prompts; all rows have one prompt"
            )
        found = np.searchsorted(last, np.arange(len(self)))
        after = (last[found % len(last)] + 1) % len(pool)
        return _Mismatched(self.cache, self.numbers, pool[after], max_length)


class _Mismatched(LazyItems):
    def __init__(
        self,
        cache: CacheFiles,
        numbers: NDArray[np.int64],
        others: NDArray[np.int64],
        max_length: int,
    ) -> None:
        super().__init__(cache, numbers)
        self._others, self._max_length = others, max_length

    @property
    def _partners(self) -> bytes:
        return self._others.tobytes() + str(self._max_length).encode()

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        item = self.cache.item(int(self.numbers[index]))
        other = self.cache.item(int(self._others[index]))
        most = self._max_length - len(item.prompt)
        return replace(
            item, mismatched=other.completion[:most], mismatched_scored=other.scored[:most]
        )
