"""The table of needs and costs: counted numbers against what each method's paper asks for."""

from __future__ import annotations

import pytest
import torch

from workbench.core.collation import collate_sequences
from workbench.core.losses import LOSSES
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.runs.choosing.method_costs import SMALLEST, counted, method_costs
from workbench.train.base_model import new_model

COUNTED = [
    "with_gradient", "without_gradient", "reference_once", "reference_per_step",
    "models_cached", "models_live",
]  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "counts"),
    [
        # A pair is two completions, scored by the policy and by the reference.
        ("dpo", [2, 0, 2, 2, 1, 2]),
        # No reference: neither scored nor in memory.
        ("simpo", [2, 0, 0, 0, 1, 1]),
        # Sorted over the whole step: both models score all of it first, then each batch again.
        ("aot", [2, 2, 2, 4, 1, 2]),
        # The row's completion with gradient; the mismatched one, for z, without.
        ("kto", [1, 1, 2, 2, 1, 2]),
        ("sft", [1, 0, 0, 0, 1, 1]),
        ("bradley_terry", [2, 0, 0, 0, 1, 1]),
        # A term that compares makes the sum compare.
        ("0.8*dpo+0.2*nll", [2, 0, 2, 2, 1, 2]),
    ],
)
def test_counts(loss: str, counts: list[float]) -> None:
    (row,) = method_costs([loss])[COUNTED].to_numpy().tolist()
    assert row == counts


def test_every_loss_has_a_row_that_agrees_with_what_it_declares() -> None:
    table = method_costs().set_index("loss")
    given = {name: loss for name, loss in LOSSES.items() if not loss.rollouts}
    assert list(table.index) == list(given)
    for name, loss in given.items():
        row = table.loc[name]
        assert (row["reference_per_step"] > 0) == row["reference"] == loss.needs_reference
        assert (row["without_gradient"] > 0) == row["whole_step"] == loss.needs_step
        assert row["models_live"] == 1 + loss.needs_reference
        assert row["paired"] == (row["rows"] == "pairs")
        assert all(f"{key} {value}" in row["parameters"] for key, value in loss.defaults.items())


def test_an_unknown_loss_is_told() -> None:
    with pytest.raises(WorkbenchError, match="loss='dopo' is unknown; accepted: dpo"):
        method_costs(["dopo"])


def test_nothing_is_counted_outside_of_the_context() -> None:
    model = new_model(Reviews(ReviewsConfig(topics=2)), SMALLEST).policy
    batch = collate_sequences([([3, 4], [5, 6]), ([3], [4])], 0)
    with counted(model) as scored:
        model(batch)
        with torch.no_grad():
            model(batch)
            model(batch)
    model(batch)
    assert (scored.with_gradient, scored.without_gradient, scored.total) == (2, 4, 6)
