"""The rows that contenders train on."""

from benchmarks.workloads import labelled
from workbench.core.batch import Completion, Pair


def test_a_pair_makes_two_labelled_rows_with_completions_of_other_prompts() -> None:
    pairs = [Pair((1, 2), (3,), (4,)), Pair((5,), (6,), (7, 8))]
    assert labelled(pairs) == [
        Completion((1, 2), (3,), True, mismatched=(6,)),
        Completion((1, 2), (4,), False, mismatched=(6,)),
        Completion((5,), (6,), True, mismatched=(3,)),
        Completion((5,), (7, 8), False, mismatched=(3,)),
    ]
