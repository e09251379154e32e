"""The results that need runs in the reviews world: their pieces, and one small run of each."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.papers import (
    PAPERS,
    few_desirable,
    noisy_labels,
    rankings,
    recorded,
    reviews_runs,
)
from workbench.runs.papers.paper_list import RECORDED


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews_runs, "TEXTS", 8)


def test_a_pair_flips_at_the_loss_of_the_formula() -> None:
    assert rankings.flip_loss(0.1, 20) == pytest.approx(math.log(1 + math.exp(-2)))
    for beta, gap in ((0.1, 20.0), (0.05, 10.0)):
        before, after = rankings.loss_at_flip(beta, gap)
        assert before >= rankings.flip_loss(beta, gap) >= after
        assert before - after < 0.01


def pairs_of(seed: int, rows: list[tuple[float, float]], beta: float = 0.1) -> pd.DataFrame:
    """Reference and policy gaps of pairs; the loss is that of DPO."""
    frame = pd.DataFrame(rows, columns=["reference", "policy"]).assign(seed=seed, beta=beta)
    margins = beta * (frame.policy - frame.reference)
    return frame.assign(loss=[math.log(1 + math.exp(-margin)) for margin in margins])


def test_the_accuracies_of_rankings_by_hand() -> None:
    # Margins right in 3 of 4, rankings in 2 of 4, by the reference 2 of 4; one of two flips.
    rows = [(-2.0, 1.0), (-2.0, -1.0), (3.0, 4.0), (1.0, -1.0)]
    frame = pd.concat([pairs_of(seed, rows) for seed in range(4)])
    found = {one.claim: one.measured for one in rankings.claims(frame)}
    assert found["margin accuracy minus ranking accuracy"] == 0.25
    assert found["ranking accuracy minus that of the reference"] == 0
    assert found["share of wrongly ranked pairs that stay wrong"] == 0.5
    assert found["of 8 pairs ranked wrongly, flips that the loss does not tell"] == 0


def test_a_flip_that_the_loss_does_not_tell_is_counted() -> None:
    frame = pd.concat([pairs_of(seed, [(-2.0, 1.0), (1.0, 2.0)]) for seed in range(4)])
    wrong = frame.assign(loss=0.69)  # above -log sigmoid(0.2) = 0.598, and yet ranked right
    name = "of 4 pairs ranked wrongly, flips that the loss does not tell"
    assert {one.claim: one.measured for one in rankings.claims(wrong)}[name] == 4


def test_rankings_of_a_small_run(base: Model) -> None:
    frame = rankings.measure(seeds=1, pairs=96, held_out=24, base=base)
    assert len(frame) >= 24
    expected = (0.1 * (frame.reference - frame.policy)).map(lambda m: math.log(1 + math.exp(m)))
    assert frame.loss.to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-4)
    assert rankings.claims(frame)[1].measured == 0


def test_kto_gets_the_pairs_of_dpo(base: Model) -> None:
    frame = few_desirable.measure(seeds=1, pairs=20, base=base)
    assert list(frame.method) == ["dpo", "kto, 1 of 1", "kto, 1 of 10"]
    assert list(frame.desirable) == [20, 20, 2]
    assert list(frame.undesirable) == [20, 20, 20]
    assert frame.reward.between(-1, 1).all()
    assert frame.kl.nunique() == 3  # three different policies
    assert few_desirable.claims(frame)[-1].verdict == "not told apart"  # one seed has no interval


def test_the_base_stays_as_it_is(base: Model) -> None:
    before = [parameter.clone() for parameter in base.policy.parameters()]
    (world,) = reviews_runs.worlds(1, pairs=20)
    reviews_runs.train(reviews_runs.config_of(world), base)
    after = list(base.policy.parameters())
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_flips_are_those_of_the_world(base: Model) -> None:
    frame = noisy_labels.measure(seeds=1, pairs=20, base=base)
    assert list(frame.loss) == ["dpo", "robust"]
    assert frame.kl.nunique() == 2


def test_the_claims_on_noisy_labels_are_differences_by_seed() -> None:
    rows = [
        (seed, loss, seed + gain, seed - gain)
        for seed in range(4)
        for loss, gain in (("dpo", 0.0), ("robust", 0.5))
    ]
    frame = pd.DataFrame(rows, columns=["seed", "loss", "true_reward", "reward"])
    first, second = noisy_labels.claims(frame)
    assert (first.measured, first.verdict) == (0.5, "reproduced")
    assert (second.measured, second.verdict) == (-0.5, "not reproduced")


def test_every_paper_has_its_title_and_source() -> None:
    assert list(PAPERS) == ["ipo", "rankings", "bandit", "over_optimisation", "robust", "kto"]
    assert all(paper.title and paper.source and paper.minutes <= 10 for paper in PAPERS.values())


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_recorded_is_what_the_claims_are_made_of(name: str) -> None:
    frame = recorded(name)
    assert frame.seed.nunique() >= 5
    assert not frame.isna().any(axis=None)
    assert all(claim.low <= claim.measured <= claim.high for claim in PAPERS[name].claims(frame))


def test_other_results_are_not_recorded() -> None:
    with pytest.raises(WorkbenchError, match="name='ipo' is not recorded; accepted: rankings"):
        recorded("ipo")
