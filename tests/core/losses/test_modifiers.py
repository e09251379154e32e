"""Modifiers: what each changes, by hand, and that it is refused where it is not defined."""

import math
from dataclasses import replace

import pytest
import torch

from workbench.core.losses import LOSSES, MODIFIERS, PairLogps, find_loss
from workbench.core.losses.modifiers import DIVERGENCES, divergence_scores
from workbench.errors import WorkbenchError

PAIRWISE = [loss for loss in LOSSES.values() if loss.method == "preference"]
OFF_NEUTRAL = {"divergence": "forward_kl", "divergence_alpha": 0.3, "ld_alpha": 0.5, "wpo": True}


def pair() -> PairLogps:
    """Log-ratios 2 and -1; beyond the shorter completion's 2 tokens the chosen gained 0.5."""
    values = torch.tensor([[-8.0], [-12.0], [-10.0], [-11.0]], dtype=torch.float64)
    beyond = torch.tensor([[-3.0], [0.0], [-3.5], [0.0]], dtype=torch.float64)
    lengths = torch.tensor([4]), torch.tensor([2])
    weights = torch.tensor([0.25], dtype=torch.float64)
    return PairLogps(*values, *lengths, PairLogps(*beyond), weights)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize(
    ("kind", "chosen", "rejected"),
    [
        ("reverse_kl", 2.0, -1.0),
        ("forward_kl", -math.exp(-2.0), -math.exp(1.0)),
        ("jensen_shannon", log_sigmoid(2.0), log_sigmoid(-1.0)),
        ("alpha", math.exp(-0.5 * 2.0) / -0.5, math.exp(0.5) / -0.5),
    ],
)
def test_divergences_by_hand(kind, chosen, rejected):
    value = LOSSES["dpo"](pair(), beta=0.5, divergence=kind)
    assert value.item() == pytest.approx(-log_sigmoid(0.5 * (chosen - rejected)))


@pytest.mark.parametrize("kind", DIVERGENCES)
def test_scores_rise_with_the_log_ratio_and_stay_finite(kind):
    ratios = torch.linspace(-200, 200, 81, requires_grad=True)
    scores = divergence_scores(ratios, kind)
    (slopes,) = torch.autograd.grad(scores.sum(), ratios)
    assert torch.isfinite(scores).all()
    assert torch.isfinite(slopes).all()
    assert (slopes >= 0).all()


def test_alpha_at_its_ends_is_the_two_kl_divergences():
    ratios = torch.tensor([-1.5, 0.0, 2.0], dtype=torch.float64)
    near = divergence_scores(ratios, "alpha", 1 - 1e-7)
    assert torch.allclose(near, ratios, atol=1e-6)
    assert torch.equal(divergence_scores(ratios, "alpha", 1.0), ratios)
    zero = divergence_scores(ratios, "alpha", 0.0)  # up to a constant
    forward = divergence_scores(ratios, "forward_kl")
    assert torch.allclose(zero.diff(), forward.diff())


@pytest.mark.parametrize(("alpha", "margin"), [(1.0, 3.0), (0.5, 2.75), (0.0, 2.5)])
def test_ld_alpha_by_hand(alpha, margin):
    # Of the chosen's log-ratio 2, 0.5 lies beyond the rejected's length.
    found = LOSSES["dpo"](pair(), beta=0.5, ld_alpha=alpha)
    assert found.item() == pytest.approx(-log_sigmoid(0.5 * margin))
    chosen, rejected = LOSSES["dpo"].rewards(pair(), beta=0.5, ld_alpha=alpha)
    assert (chosen - rejected).item() == pytest.approx(0.5 * margin)


def test_wpo_weighs_the_value():
    plain, weighed = (LOSSES["ipo"](pair(), beta=0.5, wpo=wpo) for wpo in (False, True))
    assert weighed.item() == pytest.approx(0.25 * plain.item())


def test_modifiers_combine():
    found = LOSSES["hinge"](pair(), beta=0.1, ld_alpha=0.0, divergence="forward_kl", wpo=True)
    margin = -math.exp(-1.5) + math.exp(1.0)
    assert found.item() == pytest.approx(0.25 * (1 - 0.1 * margin))


@pytest.mark.parametrize("name", MODIFIERS)
@pytest.mark.parametrize("loss", PAIRWISE, ids=lambda loss: loss.name)
def test_each_modifier_changes_a_loss_or_is_refused_with_the_reason(loss, name):
    changed, neutral = {name: OFF_NEUTRAL[name]}, {name: MODIFIERS[name].neutral}
    if name == "divergence_alpha":
        changed |= {"divergence": "alpha"}
        neutral |= {"divergence": "alpha"}
    if name in loss.modifiers:
        # Policy and reference apart on both sides, so that whatever is changed shows.
        assert loss(pair(), **changed).item() != pytest.approx(loss(pair(), **neutral).item())
    else:
        with pytest.raises(WorkbenchError, match=f"is not defined for {loss.name}: it|: a|its"):
            loss.check(**changed)
        loss.check(**{name: MODIFIERS[name].neutral})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("divergence", "chi", "divergence='chi' is not accepted: reverse_kl, forward_kl"),
        ("ld_alpha", 1.5, "ld_alpha=1.5 is not accepted: 0 to 1"),
        ("wpo", 1, "wpo=1 is not accepted: True or False"),
        ("divergence_alpha", math.nan, "divergence_alpha=nan is not accepted"),
    ],
)
def test_bad_values_are_refused(name, value, said):
    with pytest.raises(WorkbenchError, match=said):
        LOSSES["dpo"].check(**{name: value})


def test_what_is_missing_is_named():
    bare = replace(pair(), beyond=None, weights=None)
    with pytest.raises(WorkbenchError, match="beyond is missing"):
        LOSSES["dpo"](bare, ld_alpha=0.5)
    with pytest.raises(WorkbenchError, match="weights is missing"):
        LOSSES["dpo"](bare, wpo=True)


# -- weighted sums ------------------------------------------------------------------------------


def test_a_weighted_sum_by_hand():
    found = find_loss("0.8*dpo + 0.2*bco_pair+nll")
    value = found(pair(), beta=0.5)
    bco = -log_sigmoid(1.0) - log_sigmoid(0.5)
    assert value.item() == pytest.approx(-0.8 * log_sigmoid(1.5) + 0.2 * bco + 8 / 4)
    assert found.rewards(pair(), beta=0.5)[0].item() == pytest.approx(1.0)
    assert found.method == "preference"


@pytest.mark.parametrize("first", ["simpo", "nll", "orpo", "dpo_norm", "cpo", "ipo"])
def test_the_rewards_of_a_sum_are_those_of_its_first_term(first):
    own = find_loss(first).defaults
    alone = find_loss(first).rewards(pair(), **own)
    whole = find_loss(f"{first}+0.5*cdpo")
    assert whole.rewards(pair(), **(whole.defaults | own)) == alone


def test_a_parameter_of_a_sum_lies_in_the_range_of_every_term():
    for name in ("cdpo+exo_pair", "exo_pair+cdpo"):
        with pytest.raises(WorkbenchError, match=r"label_smoothing=0.0 .* 0.0001 to 0.49"):
            find_loss(name).check(label_smoothing=0.0)


def test_a_sum_needs_what_its_terms_need():
    assert not find_loss("simpo+nll").needs_reference
    mixed = find_loss("cdpo+0.1*simpo+aot")
    assert mixed.needs_reference
    assert mixed.needs_step
    assert mixed.defaults == {"beta": 0.1, "label_smoothing": 0.1, "gamma": 1.0}
    assert find_loss("dpo+bco_pair").modifiers == ("ld_alpha", "wpo")
    with pytest.raises(WorkbenchError, match=r"is not defined for dpo\+ipo: of ipo, its target"):
        find_loss("dpo+ipo").check(divergence="forward_kl")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dpo+nothing", "'nothing' is unknown"),
        ("0*dpo+nll", "weight '0' is not accepted"),
        ("-1*dpo+nll", "weight '-1' is not accepted"),
        ("nan*dpo", "weight 'nan' is not accepted"),
        ("dpo+dpo", "names a term twice"),
        ("dpo+", "'' is unknown"),
        ("dpo+kto", "loss='kto' is unknown for method preference"),
    ],
)
def test_sums_that_are_none_are_refused(name, said):
    with pytest.raises(WorkbenchError, match=said):
        find_loss(name)
