"""Pairs of token ids: what is accepted."""

import pytest

from workbench.core.batch import Pair
from workbench.errors import WorkbenchError


@pytest.mark.parametrize("part", ["prompt", "chosen", "rejected"])
def test_empty_parts_are_refused(part):
    parts = {"prompt": (1,), "chosen": (2,), "rejected": (3,)} | {part: ()}
    with pytest.raises(WorkbenchError, match=f"{part} has no tokens"):
        Pair(**parts)
