"""The tables of the token level are those of the tree."""

from __future__ import annotations

import pytest

from workbench.core.tabular import TokenTree
from workbench.errors import WorkbenchError
from workbench.runs.exact.token_credit import token_credit, tree_descent


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_the_implicit_reward_is_q_minus_v_and_sums_to_the_rest_of_the_reward(beta: float) -> None:
    tree = TokenTree.example()
    for completion in ("not bad good", "good not not"):
        frame, late = (token_credit(one, completion, beta) for one in (tree, tree.paid_at_end()))
        assert list(frame.token) == completion.split(" ")
        for found in (frame, late):
            assert (found.implicit - (found.q - found.v)).abs().max() < 1e-12
            rest = found.reward.sum() - found.v[0]
            assert found.implicit.sum() == pytest.approx(rest)
        assert (frame.implicit - late.implicit).abs().max() < 1e-12
        assert (frame.reward - late.reward).abs().max() == 1
    with pytest.raises(WorkbenchError, match="'good' is not accepted: 3 tokens such as 'not not"):
        token_credit(tree, "good", 1.0)


def test_descent_brings_every_tree_closer() -> None:
    frame = tree_descent(range(3), steps=(0, 20, 60))
    apart = frame.pivot(index="seed", columns="step", values="apart")
    assert (apart[0] > apart[20]).all()
    assert (apart[20] > apart[60]).all()
    assert (apart[60] < 0.4 * apart[0]).all()
