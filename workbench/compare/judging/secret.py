"""A key that is sent to a server and goes nowhere else."""

from __future__ import annotations

from typing import Any, NoReturn

from workbench.errors import WorkbenchError


class Secret:
    """A text that only `reveal` gives; printed or as part of anything printed it is `[key]`.

    Equal to the same text. A deep copy is the secret itself; it can't be pickled.
    """

    __slots__ = ("_reveal",)

    def __init__(self, text: str) -> None:
        self._reveal = lambda: text

    def reveal(self) -> str:
        """The text itself."""
        return self._reveal()

    def hide(self, text: str) -> str:
        """The text with `[key]` wherever the secret stands in it."""
        return text.replace(self.reveal(), "[key]") if self else text

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __repr__(self) -> str:
        return "[key]" if self else "''"

    def __eq__(self, other: object) -> bool:
        return (other.reveal() if isinstance(other, Secret) else other) == self.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise WorkbenchError("a key is not saved: give it anew where it is needed")
