"""Values and gradients of the losses are those of TRL's own trainers, on the same weights.

With `--full -s` the largest differences are printed; benchmarks/README.md keeps them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.core.batch import Completion, Pair, PreferenceBatch, SequenceBatch
from workbench.core.losses import find_loss
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.train.method import find_method
from workbench.train.reference.live import LiveReference

pytestmark = [
    pytest.mark.full,
    # TRL, and what it imports, warn of their own changes to come.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
VOCAB, PAD = 23, 0
CLOSE = 1e-6
BETAS = (0.1, 2.0)
Largest = dict[str, tuple[float, float]]


@pytest.fixture(scope="module")
def trl() -> Any:
    pytest.importorskip("datasets", reason="TRL is in the extra `bench`")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        patch.setenv("HF_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE", "1"))
        yield pytest.importorskip("trl", reason="TRL is in the extra `bench`")


@pytest.fixture(scope="module")
def largest(trl: Any) -> Iterator[Largest]:
    """The largest differences of value and gradient by name, printed at the end."""
    found: Largest = {}
    yield found
    print(f"\nTRL {trl.__version__}, largest difference of value and of gradient")
    for name, (value, gradient) in found.items():
        print(f"  {name:40} {value:.1e}  {gradient:.1e}")


# -- the same weights and rows for both -----------------------------------------------------------


def decoder(seed: int) -> Transformer:
    shape = TransformerConfig(
        VOCAB, dim=16, layers=2, heads=2, kv_heads=1, hidden_dim=24, max_length=16
    )
    return Transformer(shape, seed=seed).double()


def draw(
    count: int, sides: int, prompt: tuple[int, int] = (1, 4), completion: tuple[int, int] = (1, 6)
) -> list[tuple[tuple[int, ...], ...]]:
    """Prompts, each with completions, of lengths between the given ones."""
    generator = torch.Generator().manual_seed(1)

    def ids(least: int, most: int) -> tuple[int, ...]:
        size = int(torch.randint(least, most + 1, (), generator=generator))
        return tuple(torch.randint(1, VOCAB, (size,), generator=generator).tolist())

    return [(ids(*prompt), *(ids(*completion) for _ in range(sides))) for _ in range(count)]


def pairs(equal: bool = False) -> PreferenceBatch:
    """Seven pairs; `equal`: prompts of one token, completions of five.

    TRL averages likelihoods over all tokens of a batch, here each pair counts alike: with equal
    lengths the two are one. ORPO's likelihood there takes in the prompt, of which the first token
    is predicted by nothing.
    """
    rows = draw(7, 2, (1, 1), (5, 5)) if equal else draw(7, 2)
    return find_method("preference").collate([Pair(*ids) for ids in rows], PAD, "stacked", range(7))


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).detach().abs().max())


def compare(
    largest: Largest, name: str, ours: Tensor, theirs: Tensor, policy: torch.nn.Module
) -> None:
    """Both losses () have one value and one gradient by the weights, which is not 0."""
    weights = list(policy.parameters())
    found, expected = (torch.autograd.grad(loss, weights) for loss in (ours, theirs))
    value = difference(ours, theirs)
    gradient = max(difference(*both) for both in zip(found, expected, strict=True))
    before = largest.get(name, (0.0, 0.0))
    largest[name] = max(before[0], value), max(before[1], gradient)
    assert value <= CLOSE
    assert gradient <= CLOSE
    assert max(float(one.abs().max()) for one in expected) > 1e-4


# -- TRL's trainers without their loops -----------------------------------------------------------


def bare(kind: type, **attributes: Any) -> Any:
    """A trainer of TRL with the attributes that its loss reads, and no more."""
    trainer = object.__new__(kind)
    model = torch.nn.Module()
    model.is_gradient_checkpointing = False  # type: ignore[assignment]
    same: Callable[[Any], Any] = lambda value: value  # noqa: E731
    common = {
        "model": model,
        "accelerator": SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same),
        "args": SimpleNamespace(gradient_checkpointing_kwargs=None),
        "aux_loss_enabled": False,
        "precompute_ref_logps": False,
        "_total_train_tokens": 0,
        "_tp_size": 1,
        "_metrics": {"train": defaultdict(list)},
    }
    vars(trainer).update(common | attributes)
    return trainer


def with_fused_head(policy: Transformer) -> Callable[..., Any]:
    """A model as TRL calls one. Its own fused head computes in float32 only."""

    def forward(input_ids: Tensor, labels: Tensor, **_: Any) -> Any:
        logps = policy.logits(input_ids)[:, :-1].log_softmax(-1)
        wanted = labels[:, 1:]
        picked = logps.gather(-1, wanted.clamp(min=0)[..., None])[..., 0]
        zeros = torch.zeros_like(picked)
        return SimpleNamespace(
            log_probs=picked.masked_fill(wanted < 0, 0.0),
            log_sum_sq_probs=(2 * logps).logsumexp(-1).detach(),
            entropy=zeros,
            mean_logits=zeros,
            is_top1=zeros.bool(),
            label_mask=wanted >= 0,
        )

    return forward


@contextmanager
def float32_means_float64(module: str) -> Iterator[None]:
    """For the parts of TRL that cast to float32: the alpha divergence and ORPO's odds."""
    wide = SimpleNamespace(**vars(torch) | {"float32": torch.float64})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"trl.{module}.torch", wide)
        patch.setattr(Tensor, "float", Tensor.double)
        yield


def with_logits(policy: Transformer) -> Callable[..., Any]:
    """A model as transformers' own."""
    return lambda input_ids, **_: SimpleNamespace(logits=policy.logits(input_ids))


def inputs(batch: SequenceBatch, prefix: str = "", order: Any = slice(None)) -> dict[str, Tensor]:
    """Rows as TRL's collators make them: padded on the right, with their masks and labels."""
    tokens, scored = batch.tokens[order], batch.completion_mask[order]
    return {
        f"{prefix}input_ids": tokens,
        f"{prefix}attention_mask": (tokens != PAD).long(),
        f"{prefix}completion_mask": scored.long(),
    }


def chosen_first(batch: PreferenceBatch) -> Tensor:
    """(row,) all chosen rows, then all rejected ones."""
    return torch.arange(len(batch.tokens)).view(-1, 2).T.flatten()


# -- DPOTrainer -----------------------------------------------------------------------------------

TRL_NAMES = {
    "dpo": "sigmoid",
    "dpo_norm": "sigmoid_norm",
    "nll": "sft",
    "jensen_shannon": "js_divergence",
    "alpha": "alpha_divergence",
    "divergence": "f_divergence_type",
    "divergence_alpha": "f_alpha_divergence_coef",
    "tau": "discopop_tau",
    "wpo": "use_weighting",
}
PLAIN: list[dict[str, Any]] = [
    {"loss": "dpo"},
    {"loss": "robust", "label_smoothing": 0.2},
    {"loss": "hinge"},
    {"loss": "ipo", "normalize": True},
    {"loss": "dpo_norm"},
    {"loss": "exo_pair", "label_smoothing": 0.001},
    {"loss": "exo_pair", "label_smoothing": 0.2},
    {"loss": "nca_pair"},
    {"loss": "bco_pair"},
    {"loss": "sppo_hard"},
    {"loss": "aot", "label_smoothing": 0.0},
    {"loss": "aot", "label_smoothing": 0.2},
    {"loss": "aot_unpaired", "label_smoothing": 0.0},
    {"loss": "aot_unpaired", "label_smoothing": 0.2},
    {"loss": "apo_zero"},
    {"loss": "apo_down"},
    {"loss": "discopop"},
    {"loss": "discopop", "tau": 1.5},
    {"loss": "nll"},
    {"loss": "0.8*dpo+0.2*bco_pair+nll"},
    {"loss": "dpo+0.5*robust+2*aot_unpaired", "label_smoothing": 0.2},
]
MODIFIED: dict[str, list[dict[str, Any]]] = {
    "ld_alpha": [{"ld_alpha": 0.0}, {"ld_alpha": 0.3}],
    "divergence": [
        {"divergence": "forward_kl"},
        {"divergence": "jensen_shannon"},
        {"divergence": "alpha"},
        {"divergence": "alpha", "divergence_alpha": -0.7},
        {"divergence": "alpha", "divergence_alpha": 1.0},
        {"divergence": "alpha", "divergence_alpha": 2.5, "ld_alpha": 0.3},
    ],
    "divergence_alpha": [],
    "wpo": [{"wpo": True}],
}
# Losses for which TRL multiplies weights into a tensor that can't be written to: it fails.
NOT_WEIGHED = ("hinge", "nll")


def combined() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every loss alone and with every modifier that is defined for it: its table row, settings."""
    for plain in PLAIN:
        yield plain["loss"], plain
        for name in find_loss(plain["loss"]).modifiers:
            for more in MODIFIED[name]:
                if not ("wpo" in more and any(term in plain["loss"] for term in NOT_WEIGHED)):
                    yield f"with {more.get('divergence', name)}", plain | more


def dpo_trainer(reference: Transformer, settings: dict[str, Any], folder: str) -> Any:
    """DPOTrainer with what its constructor reads off a DPOConfig; TRL's defaults hold."""
    from trl import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    given = {TRL_NAMES.get(name, name): value for name, value in settings.items()}
    terms = [term.rpartition("*") for term in given.pop("loss").split("+")]
    given["loss_type"] = [TRL_NAMES.get(name, name) for _, _, name in terms]
    given["loss_weights"] = [float(weight or 1) for weight, _, _ in terms]
    if "divergence" in settings:
        given["f_divergence_type"] = TRL_NAMES.get(settings["divergence"], settings["divergence"])
    given.pop("normalize", None)  # TRL's ipo always does
    config = DPOConfig(output_dir=folder, use_cpu=True, bf16=False, report_to="none", **given)
    names = (
        "beta", "loss_weights", "ld_alpha", "f_divergence_type", "f_alpha_divergence_coef",
        "label_smoothing", "use_weighting",
    )  # fmt: skip
    return bare(
        DPOTrainer,
        args=config,
        loss_types=config.loss_type,
        ref_model=with_fused_head(reference),
        **{name: getattr(config, name) for name in names},
    )


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(("name", "settings"), list(combined()))
def test_dpo_trainer(
    largest: Largest, tmp_path: Path, name: str, settings: dict[str, Any], beta: float
) -> None:
    settings = {**settings, "beta": beta}
    method, policy, reference = find_method("preference"), decoder(4), decoder(5)
    batch = pairs(equal="nll" in settings["loss"])
    trainer = dpo_trainer(reference, settings, str(tmp_path))
    rows = inputs(batch, order=chosen_first(batch))
    with float32_means_float64("trainer.dpo_trainer"):
        theirs = trainer._compute_loss(with_fused_head(policy), rows, return_outputs=False)
    ours = method.losses(policy, batch, settings, LiveReference(reference)).values.mean()
    compare(largest, name, ours, theirs, policy)


# -- CPOTrainer and ORPOTrainer, without a reference ----------------------------------------------


def reference_free_inputs(batch: PreferenceBatch) -> dict[str, Tensor]:
    """Both sides of the pairs as TRL's collator makes them."""
    found: dict[str, Tensor] = {}
    for side, name in enumerate(("chosen", "rejected")):
        tokens, scored = batch.tokens[side::2], batch.completion_mask[side::2]
        found[f"{name}_input_ids"] = tokens
        found[f"{name}_attention_mask"] = (tokens != PAD).long()
        found[f"{name}_labels"] = tokens.masked_fill(~scored, -100)
    return found


REFERENCE_FREE = [
    ("simpo", {"beta": 2.0, "gamma": 1.0}),
    ("simpo", {"beta": 2.5, "gamma": 0.3}),
    ("simpo", {"beta": 0.1, "gamma": 5.0}),
    ("simpo", {"beta": 10.0, "gamma": 0.0}),
    ("cpo", {"beta": 0.1, "nll_weight": 0.0}),
    ("cpo", {"beta": 2.0, "nll_weight": 0.0}),
    ("cpo", {"beta": 0.1, "nll_weight": 1.0}),
    ("cpo", {"beta": 0.5, "nll_weight": 0.3}),
]


def cpo_trainer(loss_type: str, beta: float, **more: Any) -> Any:
    from trl.experimental.cpo import CPOTrainer

    common = {"alpha": 0.0, "cpo_alpha": 0.0, "label_smoothing": 0.0, "pad_token_id": PAD}
    given = common | more | {"is_encoder_decoder": False}
    return bare(CPOTrainer, loss_type=loss_type, beta=beta, **given)


@pytest.mark.parametrize(("loss", "settings"), REFERENCE_FREE)
def test_cpo_trainer(largest: Largest, loss: str, settings: dict[str, float]) -> None:
    weight = settings.get("nll_weight", 0.0)
    method, policy, batch = find_method("preference"), decoder(4), pairs(equal=weight > 0)
    names = {"cpo_alpha": weight, "simpo_gamma": settings.get("gamma")}
    kind = {"simpo": "simpo", "cpo": "sigmoid"}[loss]
    trainer = cpo_trainer(kind, settings["beta"], **names)
    found = trainer.concatenated_forward(with_logits(policy), reference_free_inputs(batch))
    values, *rewards = trainer.cpo_loss(*found[:2])
    ours = method.losses(policy, batch, {"loss": loss, **settings})
    name = f"{loss}, likelihood included" if weight else loss
    compare(largest, name, ours.values.mean(), values.mean() + weight * found[4], policy)
    if not weight:
        assert difference(ours.values, values) <= CLOSE
    assert difference(ours.metrics["rewards/chosen"], rewards[0]) <= CLOSE
    assert difference(ours.metrics["rewards/rejected"], rewards[1]) <= CLOSE


@pytest.mark.parametrize("weight", [0.1, 1.0])
@pytest.mark.parametrize("whole", [True, False], ids=["likelihood included", "odds ratio alone"])
def test_orpo_trainer(largest: Largest, weight: float, whole: bool) -> None:
    from trl.experimental.orpo import ORPOTrainer

    names = {"is_encoder_decoder": False, "padding_value": PAD}
    trainer = bare(ORPOTrainer, beta=weight, **names)
    method, policy, batch = find_method("preference"), decoder(4), pairs(equal=whole)
    with float32_means_float64("experimental.orpo.orpo_trainer"):
        found = trainer.concatenated_forward(with_logits(policy), reference_free_inputs(batch))
        odds = trainer.odds_ratio_loss(*found[:2])[0]
    theirs = (found[4] if whole else 0.0) - odds.mean()
    values = method.losses(policy, batch, {"loss": "orpo", "odds_weight": weight}).values
    if not whole:
        values = values - method.losses(policy, batch, {"loss": "nll"}).values
        assert difference(values, -odds) <= CLOSE
    compare(
        largest,
        "orpo, " + ("likelihood included" if whole else "odds ratio alone"),
        values.mean(),
        theirs,
        policy,
    )


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(
    ("loss", "kind", "more"), [("cdpo", "sigmoid", {"label_smoothing": 0.2}), ("ipo", "ipo", {})]
)
def test_formulas_of_cpo_trainer_given_log_ratios(
    largest: Largest, beta: float, loss: str, kind: str, more: dict[str, float]
) -> None:
    """DPOTrainer smooths no labels in its sigmoid, and its ipo is per token."""
    method, policy, batch = find_method("preference"), decoder(4), pairs()
    reference, trainer = decoder(5).requires_grad_(False), cpo_trainer(kind, beta, **more)
    labels = batch.tokens.masked_fill(~batch.completion_mask, -100)
    logps = [trainer.get_batch_logps(m.logits(batch.tokens), labels) for m in (policy, reference)]
    ratios = logps[0] - logps[1]
    theirs = trainer.cpo_loss(ratios[0::2], ratios[1::2])[0].mean()
    settings = {"loss": loss, "beta": beta, **more}
    ours = method.losses(policy, batch, settings, LiveReference(reference)).values.mean()
    compare(largest, f"{loss}, formula of CPOTrainer", ours, theirs, policy)


# -- KTOTrainer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("swapped", [False, True], ids=["z above 0", "z clamped at 0"])
@pytest.mark.parametrize(("beta", "desirable", "undesirable"), [(0.1, 1.0, 1.0), (0.5, 0.7, 1.9)])
def test_kto_trainer(
    largest: Largest, beta: float, desirable: float, undesirable: float, swapped: bool
) -> None:
    from trl.trainer.kto_trainer import KTOTrainer

    method = find_method("kto")
    models = [decoder(4), decoder(5)]
    policy, frozen = reversed(models) if swapped else models
    frozen.requires_grad_(False)
    rows = [Completion(*ids, number % 3 != 1) for number, ids in enumerate(draw(7, 1))]
    batch = method.collate(method.complete(rows, [], 16), PAD, "stacked", range(7))
    weights = {"desirable_weight": desirable, "undesirable_weight": undesirable}
    trainer = bare(
        KTOTrainer, ref_model=with_fused_head(frozen), loss_type="kto", beta=beta,
        calculate_KL=True, **weights,
    )  # fmt: skip
    given = inputs(batch) | inputs(batch.mismatched, "KL_")
    given["label"] = torch.tensor([row.label for row in rows])
    theirs = trainer._compute_loss(with_fused_head(policy), given, return_outputs=False)

    settings = {"loss": "kto", "beta": beta, **weights}
    reference = LiveReference(frozen)
    z = method.statistics(policy, [batch], settings, reference)
    ours = method.losses(policy, batch, settings, reference, z)
    compare(largest, "kto", ours.values.mean(), theirs, policy)
    told = {name: values[0] for name, values in trainer._metrics["train"].items()}
    assert float(z) == pytest.approx(told["kl"], abs=CLOSE)
    assert (float(z) == 0.0) == swapped
    for name in ("rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected"):
        assert float(ours.metrics[name].nanmean()) == pytest.approx(told[name], abs=CLOSE)


# -- SFTTrainer and RewardTrainer -----------------------------------------------------------------


def test_sft_trainer(largest: Largest) -> None:
    from trl import SFTTrainer

    method, policy = find_method("sft"), decoder(4)
    batch = method.collate([Completion(*ids) for ids in draw(7, 1)], PAD, "stacked", range(7))
    args = SimpleNamespace(loss_type="nll", average_tokens_across_devices=False)
    accelerator = SimpleNamespace(parallelism_config=None, gather_for_metrics=lambda value: value)
    trainer = bare(
        SFTTrainer, args=args, accelerator=accelerator, compute_loss_func=None, label_smoother=None
    )
    rows = inputs(batch)
    rows["labels"] = batch.tokens.masked_fill(~batch.completion_mask, -100)
    theirs = trainer.compute_loss(with_fused_head(policy), rows)
    ours = method.losses(policy, batch, {"loss": "sft"}).values.sum() / method.weights(batch).sum()
    compare(largest, "sft", ours, theirs, policy)


def test_reward_trainer(largest: Largest) -> None:
    from trl import RewardTrainer

    method, batch = find_method("reward_model"), pairs()
    policy = method.trained(decoder(4)).double()
    torch.nn.init.normal_(policy.weight, generator=torch.Generator().manual_seed(2))
    trainer = bare(RewardTrainer, args=SimpleNamespace(center_rewards_coefficient=None))

    def model(**_: Any) -> Any:
        return SimpleNamespace(logits=policy(batch)[chosen_first(batch), None])

    theirs = trainer.compute_loss(model, inputs(batch))
    ours = method.losses(policy, batch, {"loss": "bradley_terry"}).values.mean()
    compare(largest, "bradley_terry", ours, theirs, policy)
