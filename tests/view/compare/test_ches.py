"""The panel of displacing pairs: the right ones, in order, and their texts as text."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from workbench.errors import WorkbenchError
from workbench.view.compare.ches import explore_ches

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(1)">'


def frame(count: int) -> pd.DataFrame:
    """Pair 0 has the highest CHES, the last one the highest per token."""
    rows = [
        {"pair": number, "prompt": f"prompt {number}", "chosen": f"it was good {number}",
         "rejected": f"it was bad {number}", "ches": -10.0 * number, "ches_norm": 0.5 * number}
        for number in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def prompts(html: str) -> list[int]:
    return [int(number) for number in re.findall(r"<bdi>prompt (\d+)</bdi>", html)]


def test_the_most_displacing_tenth_is_listed_in_order_page_by_page() -> None:
    explorer = explore_ches(frame(100))
    assert prompts(str(explorer.shown)) == list(range(8))
    assert explorer.controls["page"].max == 2
    explorer.set(page=2)
    assert prompts(str(explorer.shown)) == [8, 9]
    assert "The 10 most displacing of 100 pairs by CHES, rows 9 to 10." in str(explorer.shown)
    assert "the median of all pairs is -495" in str(explorer.shown)
    explorer.set(page=1, score="CHES per token")
    assert prompts(str(explorer.shown)) == list(range(99, 91, -1))
    assert "by CHES per token" in str(explorer.shown)


def test_a_short_list_has_one_pair_and_a_long_one_all() -> None:
    assert prompts(str(explore_ches(frame(3)).shown)) == [0]
    assert prompts(str(explore_ches(frame(3), share=1.0).shown)) == [0, 1, 2]


def test_texts_are_escaped_and_differences_marked() -> None:
    hostile = frame(2).assign(prompt=HOSTILE, chosen=HOSTILE, rejected=f"{HOSTILE} bad")
    html = str(explore_ches(hostile).shown)
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;") == 3
    assert "<ins" in html


def test_rows_that_cannot_be_used_are_counted() -> None:
    given = frame(10)
    assert "cannot be used" not in str(explore_ches(given).shown)
    given.attrs["skipped"] = [object()] * 4
    assert "4 further rows cannot be used" in str(explore_ches(given).shown)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(WorkbenchError, match=rf"share={share} is not accepted: a number above 0"):
        explore_ches(frame(3), share)
