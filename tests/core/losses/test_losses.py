"""The losses: arithmetic by hand, gradients by finite differences, and what is refused."""

import math

import pytest
import torch

from workbench.core.losses import LOSSES, MODIFIERS, LabelledLogps, PairLogps
from workbench.errors import WorkbenchError

OF_PAIRS = [name for name, loss in LOSSES.items() if loss.method == "preference"]


def pair_logps(policy=(-8.0, -12.0), reference=(-10.0, -11.0), lengths=(4, 2)) -> PairLogps:
    """One pair: log-ratios 2 and -1, so a margin of 3."""
    values = [torch.tensor([value], dtype=torch.float64) for value in (*policy, *reference)]
    return PairLogps(*values, *(torch.tensor([n]) for n in lengths))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def odds(p: float) -> float:
    return p / (1 - p)


def with_beta(name: str, beta: float) -> dict[str, float]:
    """This beta where the loss has one."""
    return {"beta": beta} if "beta" in LOSSES[name].parameters else {}


# margin 3, beta 0.5: the scaled margin is 1.5; per token 2/4 - (-1/2) = 1, scaled 0.5
BY_HAND = [
    ("dpo", {}, -math.log(sigmoid(1.5))),
    (
        "cdpo",
        {"label_smoothing": 0.2},
        -0.8 * math.log(sigmoid(1.5)) - 0.2 * math.log(sigmoid(-1.5)),
    ),
    ("cdpo", {"label_smoothing": 0.0}, -math.log(sigmoid(1.5))),
    ("ipo", {}, (3 - 1 / (2 * 0.5)) ** 2),
    ("ipo", {"normalize": True}, (1 - 1 / (2 * 0.5)) ** 2),
    ("dpo_norm", {}, -math.log(sigmoid(0.5))),
    ("hinge", {}, 0.0),
    # Without the reference: -8/4 - (-12/2) = 4 per token, scaled 2, and 1.5 above gamma.
    ("simpo", {"gamma": 0.5}, -math.log(sigmoid(0.5 * (-8 / 4 + 12 / 2) - 0.5))),
    ("simpo", {"gamma": 0.0}, -math.log(sigmoid(2.0))),
    (
        "robust",
        {"label_smoothing": 0.2},
        (-0.8 * math.log(sigmoid(1.5)) + 0.2 * math.log(sigmoid(-1.5))) / 0.6,
    ),
    # The chosen has risen, so nothing is taken off.
    ("dpop", {"drop_weight": 5.0}, -math.log(sigmoid(1.5))),
    # The chosen is 2 tokens longer, so the pair weighs less.
    ("rdpo", {"length_weight": 0.1}, -math.log(sigmoid(1.5 + 0.1 * (4 - 2)))),
    # Rewards 1 and -0.5.
    ("apo_zero", {}, 1 - sigmoid(1.0) + sigmoid(-0.5)),
    ("apo_down", {}, sigmoid(1.0) + 1 - sigmoid(1.5)),
    ("sppo_hard", {}, (2 - 1) ** 2 + (-1 + 1) ** 2),
    ("bco_pair", {}, -math.log(sigmoid(1.0)) - math.log(sigmoid(0.5))),
    (
        "nca_pair",
        {},
        -math.log(sigmoid(1.0)) - 0.5 * math.log(sigmoid(-1.0)) - 0.5 * math.log(sigmoid(0.5)),
    ),
    (
        "exo_pair",
        {"label_smoothing": 0.1},
        sigmoid(1.5) * math.log(sigmoid(1.5) / 0.9) + sigmoid(-1.5) * math.log(sigmoid(-1.5) / 0.1),
    ),
    # One pair is sorted as it is: policy -8 + 12 against reference -10 + 11; 2 against -1.
    ("aot", {}, -math.log(sigmoid(0.5 * (4 - 1)))),
    ("aot_unpaired", {}, -math.log(sigmoid(1.5))),
    (
        "discopop",
        {"tau": 0.5},
        (1 - sigmoid(3.0)) * -math.log(sigmoid(1.5)) + sigmoid(3.0) * math.exp(-1.5),
    ),
    # Per token -2 and -6: odds p / (1 - p).
    (
        "orpo",
        {"odds_weight": 0.3},
        2 - 0.3 * math.log(sigmoid(math.log(odds(math.exp(-2)) / odds(math.exp(-6))))),
    ),
    ("cpo", {"nll_weight": 2.0}, -math.log(sigmoid(0.5 * (-8 + 12))) + 2 * 8 / 4),
    ("nll", {}, 2.0),
]


@pytest.mark.parametrize(("name", "parameters", "expected"), BY_HAND)
def test_by_hand(name, parameters, expected):
    value = LOSSES[name](pair_logps(), **with_beta(name, 0.5), **parameters)
    assert value.tolist() == pytest.approx([expected])


def test_the_hinge_below_its_corner_by_hand():
    # Margin 3 at beta 0.1 is a reward margin of 0.3, so 0.7 short of 1.
    assert LOSSES["hinge"](pair_logps(), beta=0.1).tolist() == pytest.approx([0.7])


def test_kto_by_hand():
    # Log-ratios 2 and -1 against z = 1.5, beta 0.5: 0.25 and -1.25 above the typical text. What is
    # desirable should lie above it: 2 * (1 - sigmoid(0.25)); the other below: 3 * sigmoid(-1.25).
    logps = LabelledLogps(
        policy=torch.tensor([-8.0, -12.0]),
        reference=torch.tensor([-10.0, -11.0]),
        labels=torch.tensor([True, False]),
        z=torch.tensor(1.5),
    )
    found = LOSSES["kto"](logps, beta=0.5, desirable_weight=2.0, undesirable_weight=3.0)
    expected = [2 * (1 - sigmoid(0.5 * (2 - 1.5))), 3 * (1 - sigmoid(0.5 * (1.5 + 1)))]
    assert found.tolist() == pytest.approx(expected)


def test_sft_by_hand():
    # Three tokens of probability 1/2, 1/4, 1/8: their product is 2^-6.
    logps = torch.tensor([1 / 2, 1 / 4, 1 / 8]).log().sum()[None]
    assert LOSSES["sft"](logps).tolist() == pytest.approx([6 * math.log(2)])


def test_bradley_terry_by_hand():
    # Rewards log 6 and 0 win 6 times of 7.
    found = LOSSES["bradley_terry"](torch.tensor([math.log(6), 1.0]), torch.tensor([0.0, 1.0]))
    assert found.tolist() == pytest.approx([-math.log(6 / 7), math.log(2)])


def test_every_loss_is_worked_by_hand():
    alone = {"kto", "sft", "bradley_terry"}  # each in a test of its own, above
    assert {name for name, _, _ in BY_HAND} == set(OF_PAIRS)
    of_rollouts = {name for name, loss in LOSSES.items() if loss.rollouts}  # in test_on_policy
    assert set(LOSSES) == alone | of_rollouts | set(OF_PAIRS)


@pytest.mark.parametrize("name", ["dpo", "cdpo", "dpo_norm"])
@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
def test_log_two_when_policy_equals_reference(name, beta):
    logps = pair_logps(policy=(-10.0, -11.0))
    assert LOSSES[name](logps, beta=beta).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", OF_PAIRS)
def test_one_value_a_pair_and_gradients(name):
    generator = torch.Generator().manual_seed(1)
    values = -3 * torch.randn(4, 5, generator=generator, dtype=torch.float64).abs()
    lengths = torch.tensor([3, 1, 4, 2, 6])
    policy = values[:2].clone().requires_grad_()

    def loss(chosen, rejected):
        logps = PairLogps(chosen, rejected, values[2], values[3], lengths, lengths + 1)
        return LOSSES[name](logps, **with_beta(name, 0.3))

    assert loss(*policy).shape == (5,)
    # Finite differences in float64; no pair lies on the hinge's corner.
    assert torch.autograd.gradcheck(loss, tuple(policy))


def first_gradient(name):
    """Of chosen and rejected where the policy is the reference."""
    policy = torch.tensor([[-10.0], [-11.0]], requires_grad=True)
    logps = PairLogps(*policy, *torch.tensor([[-10.0], [-11.0]]), *torch.tensor([[4], [2]]))
    LOSSES[name](logps, **with_beta(name, 0.1)).sum().backward()
    return policy.grad[:, 0]


@pytest.mark.parametrize("name", sorted({*OF_PAIRS} - {"apo_down", "discopop", "nll", "dpop"}))
def test_descent_raises_chosen_and_lowers_rejected(name):
    chosen, rejected = first_gradient(name)
    assert chosen < 0 < rejected


def test_losses_that_do_not_push_the_sides_apart_from_the_start():
    chosen, rejected = first_gradient("apo_down")  # lowers the rejected only, to begin with
    assert chosen == pytest.approx(0.0, abs=1e-8)
    assert rejected > 0
    chosen, rejected = first_gradient("discopop")  # not convex: a small margin shrinks at first
    assert chosen > 0 > rejected
    chosen, rejected = first_gradient("nll")
    assert chosen < 0
    assert rejected == 0


def test_dpop_holds_a_chosen_that_has_fallen():
    # Log-ratios -2 and -5: margin 3, of which 2 * 2 are taken off.
    fallen = pair_logps(policy=(-12.0, -16.0))
    value = LOSSES["dpop"](fallen, beta=0.5, drop_weight=2.0)
    assert value.item() == pytest.approx(-math.log(sigmoid(0.5 * (3 - 4))))
    policy = torch.tensor([[-12.0], [-16.0]], requires_grad=True)
    logps = PairLogps(*policy, *torch.tensor([[-10.0], [-11.0]]))
    LOSSES["dpop"](logps, beta=0.5, drop_weight=2.0).backward()
    # The chosen is pulled three times as hard as the rejected is pushed: 1 + drop_weight.
    assert policy.grad[0].item() == pytest.approx(-3 * policy.grad[1].item())


def test_aot_sets_ranks_against_ranks_by_hand():
    # Policy differences 5, 1; reference differences 0, 2. Sorted 1, 5 against 0, 2: so the first
    # pair, of rank 2, is set against 2, and the second against 0.
    values = torch.tensor([[-1.0, -2.0], [-6.0, -3.0], [-1.0, -1.0], [-1.0, -3.0]])
    found = LOSSES["aot"](PairLogps(*values), beta=1.0)
    assert found.tolist() == pytest.approx([-math.log(sigmoid(3.0)), -math.log(sigmoid(1.0))])
    # Log-ratios of the chosen 0, -1, of the rejected -5, 0: 0 against 0, and -1 against -5.
    found = LOSSES["aot_unpaired"](PairLogps(*values), beta=1.0)
    assert found.tolist() == pytest.approx([-math.log(sigmoid(0.0)), -math.log(sigmoid(4.0))])


def test_robust_over_flipped_labels_is_dpo_on_clean_ones():
    kept, flipped = pair_logps(), pair_logps((-12.0, -8.0), (-11.0, -10.0))
    for rate in (0.0, 0.1, 0.4):
        sides = [LOSSES["robust"](one, beta=0.5, label_smoothing=rate) for one in (kept, flipped)]
        mean = (1 - rate) * sides[0] + rate * sides[1]
        assert mean.item() == pytest.approx(LOSSES["dpo"](kept, beta=0.5).item(), rel=1e-12)


def test_orpo_is_exact_for_likely_and_unlikely_completions():
    for mean in (-1e-9, -0.5, -math.log(2), -1.0, -700.0):
        policy = torch.tensor([[4 * mean], [-12.0]], dtype=torch.float64, requires_grad=True)
        logps = PairLogps(*policy, None, None, torch.tensor([4]), torch.tensor([2]))
        value = LOSSES["orpo"](logps, odds_weight=1.0)
        log_odds = mean + 6 - (math.log(-math.expm1(mean)) - math.log1p(-math.exp(-6)))
        assert value.item() == pytest.approx(-mean + math.log1p(math.exp(-log_odds)))
        (slope,) = torch.autograd.grad(value, policy)
        assert torch.isfinite(slope).all()


def test_the_slope_of_dpo_is_beta_times_the_weight():
    # eq. 7 of the DPO paper: the gradient's weight is beta * sigmoid(-beta * margin).
    policy = torch.tensor([-8.0], requires_grad=True)
    LOSSES["dpo"](
        PairLogps(policy, *torch.tensor([[-12.0], [-10.0], [-11.0]])), beta=0.5
    ).backward()
    assert policy.grad.item() == pytest.approx(-0.5 * sigmoid(-1.5))


def test_far_margins_stay_finite():
    far = pair_logps(policy=(-1e6, 0.0), reference=(0.0, 0.0))
    assert LOSSES["dpo"](far, beta=1.0).item() == pytest.approx(1e6)


@pytest.mark.parametrize("far", [-1e4, -100.0, 100.0, 1e4])
@pytest.mark.parametrize("name", [n for n, one in LOSSES.items() if one.method == "preference"])
def test_no_margin_gives_a_number_that_is_none(name, far):
    # The chosen gains, or the rejected; in float32, where exp(89) has no number.
    policy = torch.tensor([[-5e3 + min(far, 0)], [-5e3 - max(far, 0)]], requires_grad=True)
    lengths = torch.tensor([8]), torch.tensor([9])
    logps = PairLogps(*policy, *torch.tensor([[-5e3], [-5e3]]), *lengths)
    value = LOSSES[name](logps, **with_beta(name, 1.0))
    (slope,) = torch.autograd.grad(value.sum(), policy)
    assert torch.isfinite(value).all()
    assert torch.isfinite(slope).all()


def test_discopop_far_below_its_margin_is_logistic_by_hand():
    # sigmoid(-100 / 0.05) is 0: all of the weight is on -log sigmoid(-100) = 100.
    far = PairLogps(*torch.tensor([[-100.0], [0.0], [0.0], [0.0]]))
    assert LOSSES["discopop"](far, beta=1.0).item() == pytest.approx(100.0)


def test_orpo_is_finite_where_a_side_is_certain():
    for certain in (0, 1):
        policy = torch.tensor([[-3.0], [-3.0]])
        policy[certain] = 0.0
        policy.requires_grad_()
        logps = PairLogps(*policy, None, None, torch.tensor([4]), torch.tensor([4]))
        value = LOSSES["orpo"](logps, odds_weight=1.0)
        (slope,) = torch.autograd.grad(value.sum(), policy)
        assert torch.isfinite(value).all()
        assert torch.isfinite(slope).all()


@pytest.mark.parametrize("beta", [0, -0.1, math.nan, math.inf, "high", None, True])
def test_bad_beta_is_refused(beta):
    with pytest.raises(WorkbenchError, match=r"beta=.*above 0"):
        LOSSES["dpo"](pair_logps(), beta=beta)


def test_other_bad_parameters_are_refused():
    with pytest.raises(WorkbenchError, match=r"label_smoothing=0.5"):
        LOSSES["cdpo"](pair_logps(), label_smoothing=0.5)
    with pytest.raises(WorkbenchError, match="dpo has no parameter 'gamma'; accepted: beta"):
        LOSSES["dpo"](pair_logps(), gamma=1.0)
    with pytest.raises(WorkbenchError, match="reference_chosen is missing"):
        LOSSES["dpo"](PairLogps(torch.zeros(1), torch.zeros(1)))


@pytest.mark.parametrize("name", [*LOSSES, *MODIFIERS])
def test_defaults_lie_within_their_sliders(name):
    if name in MODIFIERS:
        sliders = [(MODIFIERS[name], MODIFIERS[name].neutral)]
    else:
        defaults = LOSSES[name].defaults
        sliders = [(one, defaults[key]) for key, one in LOSSES[name].parameters.items()]
        assert list(defaults) == list(LOSSES[name].parameters)
    for parameter, default in sliders:
        assert parameter.help
        assert parameter.low is None or parameter.low <= default <= parameter.high
        assert not parameter.choices or default in parameter.choices


def test_entries_carry_their_facts():
    assert LOSSES["cdpo"].defaults == {"beta": 0.1, "label_smoothing": 0.1}
    assert LOSSES["dpo"].pick({"beta": 0.2, "label_smoothing": 0.3}) == {"beta": 0.2}
    assert all(loss.summary and loss.source for loss in LOSSES.values())
